import { PRODUCER_EPOCH_HEADER, PRODUCER_EXPECTED_SEQ_HEADER } from "../protocol/names.ts"
import { hasHeader, integerHeader, saysClosed } from "../protocol/response-metadata.ts"
import type { DurableStreamErrorCode } from "./error-code.ts"

/** What a request tried to do; some answers mean different things to different operations. */
export type Operation = "create" | "fork" | "append" | "close" | "read" | "head" | "delete"

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

/**
 * The code of an answer that is no success. The 409s are told apart by headers, never by the body; where the
 * headers do not say, by what was asked for: only an append that sent a sequence can have a sequence conflict.
 *
 * @param status - the HTTP status
 * @param headers - the answer's headers
 * @param operation - what the request tried to do
 * @param sentSeq - whether the request carried `Stream-Seq`
 */
export function codeForResponse(
  status: number,
  headers: Headers,
  operation?: Operation,
  sentSeq = true,
): DurableStreamErrorCode {
  if (status === 403 && integerHeader(headers, PRODUCER_EPOCH_HEADER) !== undefined) {
    return "STALE_EPOCH"
  }
  if (status === 409) {
    if (operation === "create" || operation === "fork") return "CONFLICT_EXISTS"
    if (saysClosed(headers)) return "STREAM_CLOSED"
    if (hasHeader(headers, PRODUCER_EXPECTED_SEQ_HEADER)) return "SEQUENCE_GAP"
    if ((operation === "append" || operation === "close") && !sentSeq) {
      return "CONTENT_TYPE_MISMATCH"
    }
  }
  return codesByStatus[status] ?? "UNKNOWN"
}
