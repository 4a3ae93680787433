import { kindOf } from "../errors/bad-option.ts"
import { DurableStreamError } from "../errors/durable-stream-error.ts"
import { DURABLE_STREAM_PROTOCOL_QUERY_PARAMS } from "../protocol/names.ts"
import { isWellFormed } from "../protocol/well-formed.ts"

/** A value, or a promise of it. */
export type MaybePromise<T> = T | Promise<T>

/** Request headers: a value, or a function that is called for every request (a token that is renewed). */
export type HeadersRecord = Record<string, string | (() => MaybePromise<string>)>

/** Query parameters: as headers are, and undefined ones are left out. `offset`, `live` and `cursor` are reserved. */
export type ParamsRecord = Record<
  string,
  string | undefined | (() => MaybePromise<string | undefined>)
>

const headerName = /^[!#$%&'*+\-.^_`|~\dA-Za-z]+$/
// What fetch accepts once it has stripped the white space around it: no control characters, nothing past Latin-1.
// eslint-disable-next-line no-control-regex -- control characters are exactly what a header value must not hold
const headerValue = /^[^\0-\x08\x0A-\x1F\x7F\u0100-\uFFFF]*$/

/**
 * Refuses headers that no request could carry. The message names the header and never its value.
 *
 * @throws DurableStreamError `BAD_REQUEST`
 */
export function checkHeaders(headers: HeadersRecord | undefined): void {
  for (const [name, value] of Object.entries(checkRecord("headers", headers))) {
    if (!headerName.test(name))
      throw badInput(`The header name ${JSON.stringify(name)} is not valid.`)
    if (typeof value !== "function") checkHeaderValue(name, value)
  }
}

/**
 * Refuses params that would collide with the protocol's own, or that are no text.
 *
 * @throws DurableStreamError `BAD_REQUEST`
 */
export function checkParams(params: ParamsRecord | undefined): void {
  for (const [name, value] of Object.entries(checkRecord("params", params))) {
    if (DURABLE_STREAM_PROTOCOL_QUERY_PARAMS.includes(name)) {
      throw badInput(
        `The query parameter ${name} belongs to the protocol: use the option instead of params.`,
      )
    }
    if (!isWellFormed(name)) {
      throw badInput(`The param name ${JSON.stringify(name)} holds half of a character.`)
    }
    if (typeof value !== "function") checkParamValue(name, value)
  }
}

/** Whether a request has to wait for what functions give. */
export function hasProviders(record: HeadersRecord | ParamsRecord): boolean {
  return Object.values(record).some(isProvider)
}

/** Calls the functions among the headers, all at once, and checks what they give. */
export async function resolveHeaders(
  headers: HeadersRecord | undefined,
): Promise<Record<string, string>> {
  const entries = Object.entries(headers ?? {})
  const resolved: Record<string, string> = {}
  // Without a function there is nothing to wait for: a request costs no extra turns.
  const values = await resolveAll(entries.map(([, value]) => value))
  entries.forEach(([name], index) => {
    resolved[name] = checkHeaderValue(name, values[index])
  })
  return resolved
}

/** Calls the functions among the params, all at once, and leaves out what is undefined. */
export async function resolveParams(
  params: ParamsRecord | undefined,
): Promise<Record<string, string>> {
  const entries = Object.entries(params ?? {})
  const resolved: Record<string, string> = {}
  const values = await resolveAll(entries.map(([, value]) => value))
  entries.forEach(([name], index) => {
    const value = checkParamValue(name, values[index])
    if (value !== undefined) resolved[name] = value
  })
  return resolved
}

/** Headers of one request: the later ones replace the earlier, whatever the case of their names. */
export function mergeHeaders<TValue>(
  ...layers: readonly Readonly<Record<string, TValue>>[]
): Record<string, TValue> {
  const merged = new Map<string, [name: string, value: TValue]>()
  for (const layer of layers) {
    for (const [name, value] of Object.entries(layer)) merged.set(name.toLowerCase(), [name, value])
  }
  return Object.fromEntries(merged.values())
}

function resolveAll(values: readonly unknown[]): unknown[] | Promise<unknown[]> {
  if (!values.some(isProvider)) return [...values]
  // Async, so that one function that throws at once leaves no other one's rejection unhandled.
  return Promise.all(values.map(async (value) => (isProvider(value) ? await value() : value)))
}

function isProvider(value: unknown): value is () => unknown {
  return typeof value === "function"
}

function checkRecord<T extends object>(option: string, record: T | undefined): T | object {
  if (record === undefined) return {}
  // JavaScript callers can give null.
  const given = record as T | null
  if (typeof given === "object" && given !== null && !isHeadersLike(given)) return given
  throw badInput(`The option ${option} must be a plain object of names and values.`)
}

/** A `Headers` or a `URLSearchParams` has no own properties: taken for a record it would be ignored in silence. */
function isHeadersLike(record: object): boolean {
  return Array.isArray(record) || Symbol.iterator in record
}

function checkHeaderValue(name: string, value: unknown): string {
  if (typeof value !== "string") {
    throw badInput(
      `The header ${name} must be a string or a function that gives one, not ${kindOf(value)}.`,
    )
  }
  const trimmed = value.trim()
  if (!headerValue.test(trimmed)) {
    throw badInput(`The value of the header ${name} holds characters that HTTP does not allow.`)
  }
  return trimmed
}

function checkParamValue(name: string, value: unknown): string | undefined {
  if (value === undefined) return value
  if (typeof value === "string") {
    if (isWellFormed(value)) return value
    throw badInput(`The value of the param ${name} holds half of a character, which no URL can.`)
  }
  throw badInput(
    `The param ${name} must be a string, undefined or a function that gives one, not ${kindOf(value)}.`,
  )
}

function badInput(message: string): DurableStreamError {
  return new DurableStreamError(message, "BAD_REQUEST")
}
