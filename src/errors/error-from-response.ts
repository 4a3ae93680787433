import {
  PRODUCER_EPOCH_HEADER,
  PRODUCER_EXPECTED_SEQ_HEADER,
  PRODUCER_RECEIVED_SEQ_HEADER,
  STREAM_OFFSET_HEADER,
} from "../protocol/names.ts"
import { describeUrl } from "../protocol/request-url.ts"
import { headerOf, integerHeader, plainHeaders } from "../protocol/response-metadata.ts"
import type { DurableStreamError, ErrorBody } from "./durable-stream-error.ts"
import type { DurableStreamErrorCode } from "./error-code.ts"
import { FetchError, INDETERMINATE_HINT } from "./fetch-error.ts"
import { SequenceGapError } from "./sequence-gap-error.ts"
import { StaleEpochError } from "./stale-epoch-error.ts"
import { codeForResponse, type Operation } from "./status-code.ts"
import { StreamClosedError } from "./stream-closed-error.ts"

/** What a request knows that its response does not say. */
export interface RequestContext {
  readonly url: string
  readonly operation: Operation
  readonly sentSeq?: boolean
  /** Whether the request was a write that a gateway may have passed on before it failed. */
  readonly indeterminate?: boolean
}

type Explanation = readonly [what: string, advice: string]
type Explanations = Partial<Record<DurableStreamErrorCode, Explanation>>

/** The error of a response that is not a success: to a read, or to a request that is not about a stream. */
export function readError(
  { status, headers }: Pick<Response, "status" | "headers">,
  { text, json }: ErrorBody,
  { url, operation, sentSeq = false, indeterminate = false }: RequestContext,
  explanations: Explanations = ofReads,
): FetchError {
  const code = codeForResponse(status, headers, operation, sentSeq)
  const stream = describeUrl(url)
  const [what, advice] = (operation !== "subscription" && explanations[code]) || otherwise
  const hint = indeterminate ? INDETERMINATE_HINT : advice
  const said = status === 400 && reasonIn(text, json)
  const why = said ? `: "${said}"` : ""
  const message = `${what}: ${operation} ${stream} failed with status ${status}${why}.${hint && ` ${hint}`}`
  return new FetchError(status, text, json, plainHeaders(headers), stream, message, {
    code,
    indeterminate,
  })
}

/** The one map from a response to an error: the same for every operation. */
export function errorFromResponse(
  response: Pick<Response, "status" | "headers">,
  body: ErrorBody,
  context: RequestContext,
): DurableStreamError {
  const { operation } = context
  const writes = operation === "append" || operation === "close"
  const explanations = {
    ...ofReads,
    ...ofWrites,
    // Only what writes can send a seq.
    ...(writes && { CONFLICT_SEQ: seqConflict }),
    ...(operation === "fork" && ofForks),
  }
  const failure = readError(response, body, context, explanations)
  const { headers } = response
  const { url: stream, code } = failure
  const options = { cause: failure }
  switch (code) {
    case "STREAM_CLOSED":
      return new StreamClosedError(stream, headerOf(headers, STREAM_OFFSET_HEADER), options)
    case "STALE_EPOCH": {
      const epoch = integerHeader(headers, PRODUCER_EPOCH_HEADER) ?? 0
      return new StaleEpochError(epoch, `${stream}: ${new StaleEpochError(epoch).message}`, options)
    }
    case "SEQUENCE_GAP": {
      const expected = integerHeader(headers, PRODUCER_EXPECTED_SEQ_HEADER) ?? 0
      const received = integerHeader(headers, PRODUCER_RECEIVED_SEQ_HEADER) ?? 0
      const { message: gap } = new SequenceGapError(expected, received)
      return new SequenceGapError(expected, received, `${stream}: ${gap}`, options)
    }
    default:
      return failure
  }
}

/** What a server says is wrong with a request: one line, unless it may repeat a query or a credential, which no log should hold. */
function reasonIn(text: string | undefined, json: object | undefined): string {
  // Any object may be asked for a property.
  const { error, message = error } = (json ?? {}) as { error?: unknown; message?: unknown }
  // The protocol's own errors are objects of a code and a message.
  const given = text ?? (message as { message?: unknown } | undefined)?.message ?? message
  const [line = ""] = typeof given === "string" ? given.trim().split(/[\r\n]/, 1) : []
  return /[<?=]|bearer|basic|token|secret|password|key|^$/i.test(line) ? "" : line.slice(0, 200)
}

const otherwise: Explanation = [
  "The server rejected the request",
  "See text and json of this error.",
]

const ofReads: Explanations = {
  NOT_FOUND: ["The stream does not exist", "Create it first, or check the URL."],
  BUSY: ["The server is busy", "Try again later."],
  UNAUTHORIZED: [
    "The server requires credentials",
    "Check the headers and params that carry them.",
  ],
  FORBIDDEN: ["Access is forbidden", "Check the headers and params that carry credentials."],
  RATE_LIMITED: ["Too many requests", "Send fewer, or try again later."],
  GONE: [
    "The data is gone (deleted, or older than what is retained)",
    'Read from the start ("-1") or the tail ("now"), or use another stream.',
  ],
  TIMEOUT: ["The server timed out", "Try again later."],
}

const ofWrites: Explanations = {
  CONFLICT_EXISTS: [
    "A stream with another configuration exists here",
    "Connect to it, or create this one at another URL.",
  ],
  CONTENT_TYPE_MISMATCH: [
    "The content type is not the stream's",
    "Omit contentType, or use the one that head() returns.",
  ],
  PAYLOAD_TOO_LARGE: ["The body is too large for the server", "Send it in parts."],
}

const seqConflict: Explanation = [
  "The seq is not greater than the last one stored",
  "Another writer was faster, or it is stored already.",
]

// The stream that is missing is not the one that the request names.
const ofForks: Explanations = {
  NOT_FOUND: ["The stream to fork does not exist", ""],
  BAD_REQUEST: [
    "The server cannot fork here",
    "-1 and now are not fork offsets, and subOffset reaches only into the entry after the fork offset.",
  ],
}
