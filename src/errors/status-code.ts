import { PRODUCER_EPOCH_HEADER, PRODUCER_EXPECTED_SEQ_HEADER } from "../protocol/names.ts"
import {
  headerOf,
  integerHeader,
  saysClosed,
  type ResponseHeaders,
} from "../protocol/response-metadata.ts"
import type { DurableStreamErrorCode } from "./error-code.ts"

/**
 * What a request tried to do; some statuses mean different things to different operations. A `subscription` request is not
 * about a stream: its responses carry no headers of streams.
 */
export type Operation =
  "create" | "fork" | "append" | "close" | "read" | "head" | "delete" | "subscription"

const codesByStatus: Readonly<Record<number, DurableStreamErrorCode>> = {
  400: "BAD_REQUEST",
  401: "UNAUTHORIZED",
  403: "FORBIDDEN",
  404: "NOT_FOUND",
  408: "TIMEOUT",
  409: "CONFLICT_SEQ",
  410: "GONE",
  413: "PAYLOAD_TOO_LARGE",
  415: "CONTENT_TYPE_MISMATCH",
  429: "RATE_LIMITED",
  503: "BUSY",
}

/** The code that a status and headers mean, whatever was requested. */
export function codeByHeaders(status: number, headers?: ResponseHeaders): DurableStreamErrorCode {
  if (status === 403 && headers && integerHeader(headers, PRODUCER_EPOCH_HEADER) !== undefined) {
    return "STALE_EPOCH"
  }
  if (status === 409 && headers) {
    if (saysClosed(headers)) return "STREAM_CLOSED"
    if (headerOf(headers, PRODUCER_EXPECTED_SEQ_HEADER) !== undefined) return "SEQUENCE_GAP"
  }
  return codesByStatus[status] ?? "UNKNOWN"
}

/**
 * The code of a response that is not a success. The 409s are distinguished by headers, never by the body; if the headers do
 * not say, by the request: only an append that sent a sequence can have a sequence conflict.
 *
 * @param operation - what the request tried to do
 * @param sentSeq - whether the request carried `Stream-Seq`
 */
export function codeForResponse(
  status: number,
  headers: ResponseHeaders,
  operation?: Operation,
  sentSeq = true,
): DurableStreamErrorCode {
  if (status === 409 && (operation === "create" || operation === "fork")) return "CONFLICT_EXISTS"
  const code = codeByHeaders(status, headers)
  const isWrite = operation === "append" || operation === "close"
  return code === "CONFLICT_SEQ" && isWrite && !sentSeq ? "CONTENT_TYPE_MISMATCH" : code
}
