import { DurableStreamError } from "../errors/durable-stream-error.ts"
import { checkSignal } from "../http/endpoint.ts"
import { badOption, checkObject, checkOptions, RULES, wholeNumber } from "../http/option-checks.ts"
import { checkHeaders, type HeadersRecord } from "../http/request-inputs.ts"
import { CONTENT_TYPE_HEADER, PRODUCER_ID_HEADER, STREAM_SEQ_HEADER } from "../protocol/names.ts"
import type { WriteTerms } from "./append-request.ts"
import type { AppendOptions } from "./write-options.ts"

/** What most appends say: one object for all of them. */
const PLAIN: WriteTerms = {}

export function checkAppendOptions(options?: AppendOptions): WriteTerms {
  if (options === undefined) return PLAIN
  checkOptions(options, { producerEpoch: wholeNumber(0), producerSeq: wholeNumber(0) })
  checkSignal(options.signal)
  const { seq, contentType, producerId, producerEpoch, producerSeq } = options
  checkContentType(contentType)
  if (seq !== undefined) checkText("seq", seq, STREAM_SEQ_HEADER, true)
  if (producerId === undefined && producerEpoch === undefined && producerSeq === undefined) {
    return seq === undefined && contentType === undefined ? PLAIN : { contentType, seq }
  }
  if (producerId === undefined || producerEpoch === undefined || producerSeq === undefined) {
    throw badRequest(
      "The options producerId, producerEpoch and producerSeq go together: give all three or none.",
    )
  }
  const id = checkText("producerId", producerId, PRODUCER_ID_HEADER, true)
  return { contentType, seq, producer: { id, epoch: producerEpoch, seq: producerSeq } }
}

/** Checks what only a handle is told. @throws DurableStreamError `BAD_REQUEST` that names the option */
export function checkHandleOptions(options: {
  readonly contentType?: unknown
  readonly batching?: unknown
  readonly onError?: unknown
  readonly warnOnHttp?: unknown
}): void {
  checkContentType(options.contentType)
  checkOptions(options, {
    batching: RULES.boolean,
    warnOnHttp: RULES.boolean,
    onError: RULES.function,
  })
}

/**
 * The signal of a call that has no other option.
 *
 * @throws DurableStreamError `BAD_REQUEST` if the options are not an object, InvalidSignalError if the signal is not one
 */
export function signalOf(options: {
  readonly signal?: AbortSignal | undefined
}): AbortSignal | undefined {
  return checkSignal(checkObject("options", options).signal)
}

/** @throws DurableStreamError `BAD_REQUEST` if it is given and no header could carry it */
export function checkContentType(contentType: unknown): void {
  if (contentType === undefined) return
  if (!checkText("contentType", contentType, CONTENT_TYPE_HEADER).includes("/")) {
    throw badOption("contentType", 'a media type such as "application/json"', contentType)
  }
}

/** The content type among headers, whatever the case of its name; undefined if a function gives it. */
export function contentTypeHeader(headers: HeadersRecord = {}): string | undefined {
  const value = namedHeader(headers, CONTENT_TYPE_HEADER)
  return typeof value === "string" ? value : undefined
}

export function namedHeader(
  headers: HeadersRecord,
  name: string,
): HeadersRecord[string] | undefined {
  const wanted = name.toLowerCase()
  return Object.entries(headers).find(([given]) => given.toLowerCase() === wanted)?.[1]
}

/**
 * Checks a text that a header carries.
 *
 * @param isExact - whether it must arrive as it is: HTTP removes white space from both ends of a header
 * @throws DurableStreamError `BAD_REQUEST` that names the option and not its value
 */
export function checkText(option: string, value: unknown, header: string, isExact = false): string {
  if (typeof value !== "string" || value.trim() === "") {
    throw badRequest(`The option ${option} must be a string that is not empty.`)
  }
  let problem = isExact && /^[\t\n\r ]|[\t\n\r ]$/.test(value) && "white space at its ends"
  try {
    checkHeaders({ [header]: value })
  } catch {
    problem = "characters"
  }
  if (!problem) return value
  throw badRequest(`The option ${option} has ${problem} that the header ${header} cannot carry.`)
}

export function badRequest(message: string): DurableStreamError {
  return new DurableStreamError(message, "BAD_REQUEST")
}
