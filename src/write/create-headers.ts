import { showValue } from "../errors/bad-option.ts"
import { DurableStreamError } from "../errors/durable-stream-error.ts"
import { checkBoolean } from "../http/option-checks.ts"
import type { HeadersRecord } from "../http/request-inputs.ts"
import {
  STREAM_CLOSED_HEADER,
  STREAM_EXPIRES_AT_HEADER,
  STREAM_FORKED_FROM_HEADER,
  STREAM_FORK_OFFSET_HEADER,
  STREAM_FORK_SUB_OFFSET_HEADER,
  STREAM_TTL_HEADER,
} from "../protocol/names.ts"
import { parseRfc3339 } from "../protocol/rfc3339.ts"
import { checkWholeNumber } from "./write-checks.ts"
import type { CreateSettings } from "./write-options.ts"

const createOnly = [
  STREAM_TTL_HEADER,
  STREAM_EXPIRES_AT_HEADER,
  STREAM_CLOSED_HEADER,
  STREAM_FORKED_FROM_HEADER,
  STREAM_FORK_OFFSET_HEADER,
  STREAM_FORK_SUB_OFFSET_HEADER,
].map((name) => name.toLowerCase())

/**
 * Tells the headers that only a create may carry from the rest: a `Stream-Closed` written by hand for the create must
 * not close the stream with the first append.
 */
export function splitCreateHeaders(headers: HeadersRecord): {
  createOnly: HeadersRecord
  others: HeadersRecord
} {
  const entries = Object.entries(headers)
  const isCreateOnly = ([name]: readonly [string, unknown]) =>
    createOnly.includes(name.toLowerCase())
  return {
    createOnly: Object.fromEntries(entries.filter(isCreateOnly)),
    others: Object.fromEntries(entries.filter((entry) => !isCreateOnly(entry))),
  }
}

/**
 * The headers of a create that say how long the stream lives and whether it is born closed.
 *
 * @param settings - what the caller asked for by options
 * @param byHand - the headers that the caller wrote; they are held to the same rules
 * @throws DurableStreamError `BAD_REQUEST` that names the option
 */
export function createHeaders(
  settings: CreateSettings,
  byHand: HeadersRecord,
): Record<string, string> {
  const { ttlSeconds, expiresAt, closed } = settings
  const ttlByHand = headerOf(byHand, STREAM_TTL_HEADER)
  const expiryByHand = headerOf(byHand, STREAM_EXPIRES_AT_HEADER)
  if ((ttlSeconds ?? ttlByHand) !== undefined && (expiresAt ?? expiryByHand) !== undefined) {
    throw badRequest("The options ttlSeconds and expiresAt exclude each other: give one of them.")
  }
  if (typeof ttlByHand === "string" && !/^[1-9]\d*$/.test(ttlByHand.trim())) {
    throw badRequest(`The header ${STREAM_TTL_HEADER} must be a whole number of seconds above 0.`)
  }
  if (typeof expiryByHand === "string") {
    checkExpiry(`header ${STREAM_EXPIRES_AT_HEADER}`, expiryByHand.trim())
  }
  const headers: Record<string, string> = {}
  if (ttlSeconds !== undefined) {
    headers[STREAM_TTL_HEADER] = String(checkWholeNumber("ttlSeconds", ttlSeconds, 1))
  }
  if (expiresAt !== undefined) {
    headers[STREAM_EXPIRES_AT_HEADER] = checkExpiry("option expiresAt", expiresAt)
  }
  if (checkBoolean("closed", closed) === true) headers[STREAM_CLOSED_HEADER] = "true"
  return headers
}

/**
 * Whether a new stream is to have expired already, by this machine's clock, which may be wrong: the server decides.
 *
 * @param headers - those of the create
 * @param byHand - the headers that the caller wrote
 * @param nowMs - the time, as `Date.now()` tells it
 */
export function hasExpired(
  headers: Record<string, string>,
  byHand: HeadersRecord,
  nowMs: number,
): boolean {
  const expiry = headers[STREAM_EXPIRES_AT_HEADER] ?? headerOf(byHand, STREAM_EXPIRES_AT_HEADER)
  return typeof expiry === "string" && (parseRfc3339(expiry.trim()) ?? nowMs) < nowMs
}

function checkExpiry(name: string, value: unknown): string {
  if (typeof value !== "string" || parseRfc3339(value) === undefined) {
    throw badRequest(
      `The ${name} must be an RFC 3339 time, such as new Date(…).toISOString() gives, not ${showValue(value)}.`,
    )
  }
  return value
}

/** Whether a caller says how long a new stream lives. */
export function namesLifetime(settings: CreateSettings, byHand: HeadersRecord): boolean {
  return [
    settings.ttlSeconds,
    settings.expiresAt,
    headerOf(byHand, STREAM_TTL_HEADER),
    headerOf(byHand, STREAM_EXPIRES_AT_HEADER),
  ].some((given) => given !== undefined)
}

function headerOf(headers: HeadersRecord, name: string): HeadersRecord[string] | undefined {
  const wanted = name.toLowerCase()
  return Object.entries(headers).find(([given]) => given.toLowerCase() === wanted)?.[1]
}

function badRequest(message: string): DurableStreamError {
  return new DurableStreamError(message, "BAD_REQUEST")
}
