import { describeUrl } from "../protocol/request-url.ts"
import {
  PRODUCER_EPOCH_HEADER,
  PRODUCER_EXPECTED_SEQ_HEADER,
  PRODUCER_RECEIVED_SEQ_HEADER,
  STREAM_OFFSET_HEADER,
} from "../protocol/names.ts"
import { integerHeader, plainHeaders } from "../protocol/response-metadata.ts"
import type { DurableStreamError } from "./durable-stream-error.ts"
import { readErrorBody } from "./error-body.ts"
import type { DurableStreamErrorCode } from "./error-code.ts"
import { FetchError } from "./fetch-error.ts"
import { INDETERMINATE_HINT } from "./indeterminate-hint.ts"
import { SequenceGapError } from "./sequence-gap-error.ts"
import { StaleEpochError } from "./stale-epoch-error.ts"
import { codeForResponse, type Operation } from "./status-code.ts"
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
  const code = codeForResponse(status, headers, context.operation, context.sentSeq ?? false)
  const stream = describeUrl(context.url)
  const { text, json } = await readErrorBody(response, signal)
  const indeterminate = context.indeterminate ?? false
  const { what, hint } = explain(code, context.operation)
  const advice = indeterminate ? INDETERMINATE_HINT : hint
  const failure = new FetchError(
    status,
    text,
    json,
    plainHeaders(headers),
    stream,
    `${what}: ${context.operation} ${stream} was answered ${status}.${advice === "" ? "" : ` ${advice}`}`,
    { code, indeterminate },
  )
  const options = { cause: failure }
  switch (code) {
    case "STREAM_CLOSED":
      return new StreamClosedError(stream, headers.get(STREAM_OFFSET_HEADER) ?? undefined, options)
    case "STALE_EPOCH": {
      const epoch = integerHeader(headers, PRODUCER_EPOCH_HEADER) ?? 0
      return new StaleEpochError(epoch, `${stream}: ${new StaleEpochError(epoch).message}`, options)
    }
    case "SEQUENCE_GAP": {
      const expected = integerHeader(headers, PRODUCER_EXPECTED_SEQ_HEADER) ?? 0
      const received = integerHeader(headers, PRODUCER_RECEIVED_SEQ_HEADER) ?? 0
      const { message } = new SequenceGapError(expected, received)
      return new SequenceGapError(expected, received, `${stream}: ${message}`, options)
    }
    default:
      return failure
  }
}

interface Explanation {
  /** What happened. */
  readonly what: string
  /** What to do about it. */
  readonly hint: string
}

function explain(code: DurableStreamErrorCode, operation: Operation): Explanation {
  // The stream that is missing is not the one that the request names.
  if (operation === "fork" && code === "NOT_FOUND") {
    return { what: "There is no such stream to fork", hint: "Fork one that exists." }
  }
  // Only what writes can send a seq.
  if (code === "CONFLICT_SEQ" && operation !== "append" && operation !== "close") {
    return {
      what: "The server sees a conflict",
      hint: "Its answer may say why: see text and json.",
    }
  }
  return explanations[code] ?? { what: "The server refused the request", hint: "" }
}

const explanations: Partial<Record<DurableStreamErrorCode, Explanation>> = {
  NOT_FOUND: {
    what: "There is no such stream",
    hint: "Create it first, or look at the URL.",
  },
  CONFLICT_SEQ: {
    what: "The seq is not greater than the last one stored",
    hint: "Another writer was faster, or it was stored before.",
  },
  CONFLICT_EXISTS: {
    what: "A stream with another configuration exists here",
    hint: "Connect to that one, or create this one at another URL.",
  },
  CONTENT_TYPE_MISMATCH: {
    what: "The content type is not the stream's",
    hint: "Leave contentType out, or give the one that head() tells.",
  },
  BAD_REQUEST: {
    what: "The server calls the request malformed",
    hint: "Its answer may say why: see text and json.",
  },
  BUSY: { what: "The server is busy", hint: "Try again later." },
  UNAUTHORIZED: {
    what: "The server wants (other) credentials",
    hint: "Look at the headers and params that carry them.",
  },
  FORBIDDEN: {
    what: "The server forbids it",
    hint: "Look at the headers and params that carry credentials.",
  },
  RATE_LIMITED: { what: "Too many requests", hint: "Send fewer, or try again later." },
  GONE: {
    what: "The data is gone (deleted, or older than what is retained)",
    hint: 'Read from the start ("-1") or from now on ("now"), or use another stream.',
  },
  PAYLOAD_TOO_LARGE: { what: "The body is too large for the server", hint: "Send it in parts." },
  TIMEOUT: { what: "The server gave up waiting", hint: "Try again later." },
}
