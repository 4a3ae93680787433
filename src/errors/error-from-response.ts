import { describeUrl } from "../protocol/request-url.ts"
import {
  PRODUCER_EPOCH_HEADER,
  PRODUCER_EXPECTED_SEQ_HEADER,
  PRODUCER_RECEIVED_SEQ_HEADER,
  STREAM_OFFSET_HEADER,
} from "../protocol/names.ts"
import { integerHeader } from "../protocol/response-metadata.ts"
import type { DurableStreamError } from "./durable-stream-error.ts"
import { readErrorBody } from "./error-body.ts"
import type { DurableStreamErrorCode } from "./error-code.ts"
import { FetchError } from "./fetch-error.ts"
import { SequenceGapError } from "./sequence-gap-error.ts"
import { StaleEpochError } from "./stale-epoch-error.ts"
import { codeForAnswer, type Operation } from "./status-code.ts"
import { StreamClosedError } from "./stream-closed-error.ts"

/** What a request knows that its answer does not say. */
export interface RequestContext {
  readonly url: string
  readonly operation: Operation
  /** Whether the request carried `Stream-Seq`. */
  readonly sentSeq?: boolean
  /** Whether the request was a write that a gateway may have passed on before it failed. */
  readonly indeterminate?: boolean
}

/**
 * The one map from an HTTP answer to an error. Consumes the answer's body.
 *
 * @param response - an answer that is no success
 * @param context - what was asked for
 * @param signal - ends the reading of the body; the error is made all the same
 */
export async function errorFromResponse(
  response: Response,
  context: RequestContext,
  signal?: AbortSignal,
): Promise<DurableStreamError> {
  const { status, headers } = response
  const code = codeForAnswer(status, headers, context.operation, context.sentSeq ?? false)
  const stream = describeUrl(context.url)
  const { text, json } = await readErrorBody(response, signal)
  const failure = new FetchError(
    status,
    text,
    json,
    Object.fromEntries(headers.entries()),
    stream,
    `${sentenceFor(code, context.operation)}: ${context.operation} ${stream} was answered ${status}.`,
    { code, indeterminate: context.indeterminate ?? false },
  )
  switch (code) {
    case "STREAM_CLOSED":
      return new StreamClosedError(stream, headers.get(STREAM_OFFSET_HEADER) ?? undefined, {
        cause: failure,
      })
    case "STALE_EPOCH":
      return new StaleEpochError(integerHeader(headers, PRODUCER_EPOCH_HEADER) ?? 0, undefined, {
        cause: failure,
      })
    case "SEQUENCE_GAP":
      return new SequenceGapError(
        integerHeader(headers, PRODUCER_EXPECTED_SEQ_HEADER) ?? 0,
        integerHeader(headers, PRODUCER_RECEIVED_SEQ_HEADER) ?? 0,
        undefined,
        { cause: failure },
      )
    default:
      return failure
  }
}

function sentenceFor(code: DurableStreamErrorCode, operation: Operation): string {
  // The stream that is missing is not the one that the request names.
  if (operation === "fork" && code === "NOT_FOUND") return "There is no such stream to fork"
  return sentences[code] ?? "The server refused the request"
}

const sentences: Partial<Record<DurableStreamErrorCode, string>> = {
  NOT_FOUND: "There is no such stream",
  CONFLICT_SEQ: "The sequence is not greater than the last one stored",
  CONFLICT_EXISTS: "A stream with another configuration exists here",
  CONTENT_TYPE_MISMATCH: "The content type is not the stream's",
  BAD_REQUEST: "The server calls the request malformed",
  BUSY: "The server is busy",
  UNAUTHORIZED: "The server wants (other) credentials",
  FORBIDDEN: "The server forbids it",
  RATE_LIMITED: "Too many requests",
  GONE: "The data is gone (deleted, or older than what is retained)",
  PAYLOAD_TOO_LARGE: "The body is too large for the server",
  TIMEOUT: "The server gave up waiting",
}
