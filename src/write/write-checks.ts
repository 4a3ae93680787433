import { DurableStreamError } from "../errors/durable-stream-error.ts"
import { checkSignal } from "../http/endpoint.ts"
import { checkNumber, checkObject, checkOptions, RULES } from "../http/option-checks.ts"
import { checkHeaders, type HeadersRecord } from "../http/request-inputs.ts"
import { CONTENT_TYPE_HEADER, PRODUCER_ID_HEADER, STREAM_SEQ_HEADER } from "../protocol/names.ts"
import type { ProducerTuple, WriteTerms } from "./append-request.ts"
import type { AppendOptions } from "./write-options.ts"

/** What most appends say: one object for all of them. */
const PLAIN: WriteTerms = {}

/**
 * Checks the options of an append.
 *
 * @throws DurableStreamError `BAD_REQUEST` that names the option
 */
export function checkAppendOptions(options?: AppendOptions): WriteTerms {
  if (options === undefined) return PLAIN
  checkObject("options", options)
  checkSignal(options.signal)
  const { seq, contentType } = options
  checkContentType(contentType)
  if (seq !== undefined) checkExactText("seq", seq, STREAM_SEQ_HEADER)
  const producer = checkProducer(options)
  if (seq === undefined && producer === undefined && contentType === undefined) return PLAIN
  return { contentType, seq, producer }
}

/**
 * Checks what only a handle is told; the rest is the endpoint's.
 *
 * @throws DurableStreamError `BAD_REQUEST` that names the option
 */
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
  const { signal } = checkObject("options", options)
  checkSignal(signal)
  return signal
}

/** @throws DurableStreamError `BAD_REQUEST` if it is given and no header could carry it */
export function checkContentType(contentType: unknown): void {
  if (contentType !== undefined) checkText("contentType", contentType, CONTENT_TYPE_HEADER)
}

/** The content type among headers, whatever the case of its name; undefined if a function gives it. */
export function contentTypeHeader(headers: HeadersRecord = {}): string | undefined {
  const value = namedHeader(headers, CONTENT_TYPE_HEADER)
  return typeof value === "string" ? value : undefined
}

/** One of a caller's headers, whatever the case of its name. */
export function namedHeader(
  headers: HeadersRecord,
  name: string,
): HeadersRecord[string] | undefined {
  const wanted = name.toLowerCase()
  return Object.entries(headers).find(([given]) => given.toLowerCase() === wanted)?.[1]
}

/**
 * Checks a whole number that the protocol sends in decimal.
 *
 * @throws DurableStreamError `BAD_REQUEST` that names the option and its value
 */
export function checkWholeNumber(option: string, value: unknown, least: number): number {
  const isValid = (number: number) => Number.isSafeInteger(number) && number >= least
  return checkNumber(option, value, isValid, `a whole number, ${least} or more`)
}

/**
 * Checks a text that a header carries.
 *
 * @throws DurableStreamError `BAD_REQUEST` that names the option and not its value
 */
export function checkText(option: string, value: unknown, header: string): string {
  if (typeof value !== "string" || value.trim() === "") {
    throw badRequest(`The option ${option} must be a string that is not empty.`)
  }
  try {
    checkHeaders({ [header]: value })
  } catch {
    throw badRequest(`The option ${option} has characters that the header ${header} cannot carry.`)
  }
  return value
}

/** As {@link checkText}, for a text that must arrive as it is: HTTP removes white space from both ends of a header. */
export function checkExactText(option: string, value: unknown, header: string): string {
  const text = checkText(option, value, header)
  if (!/^[\t\n\r ]|[\t\n\r ]$/.test(text)) return text
  throw badRequest(
    `The option ${option} begins or ends with white space, which the header ${header} cannot carry.`,
  )
}

function checkProducer(options: AppendOptions): ProducerTuple | undefined {
  const { producerId, producerEpoch, producerSeq } = options
  const given = [producerId, producerEpoch, producerSeq].filter((value) => value !== undefined)
  if (given.length === 0) return undefined
  if (given.length < 3) {
    throw badRequest(
      "The options producerId, producerEpoch and producerSeq go together: give all three or none.",
    )
  }
  return {
    id: checkExactText("producerId", producerId, PRODUCER_ID_HEADER),
    epoch: checkWholeNumber("producerEpoch", producerEpoch, 0),
    seq: checkWholeNumber("producerSeq", producerSeq, 0),
  }
}

function badRequest(message: string): DurableStreamError {
  return new DurableStreamError(message, "BAD_REQUEST")
}
