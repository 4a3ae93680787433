/**
 * Names that the protocol puts on the wire, spelled as this client sends them. Header names compare
 * case-insensitively; query parameters and SSE fields do not.
 */

/** Response header: where the next read starts. An opaque token. */
export const STREAM_OFFSET_HEADER = "Stream-Next-Offset"
/** Response header: sent back as the `cursor` parameter of the next live request, so that no cache repeats its response. */
export const STREAM_CURSOR_HEADER = "Stream-Cursor"
/** Response header: present (with any value) when the response reaches the tail as of now. Not the end of the stream. */
export const STREAM_UP_TO_DATE_HEADER = "Stream-Up-To-Date"
/** Header of requests and responses: `true` closes a stream, or says that it is closed. The only end of a stream. */
export const STREAM_CLOSED_HEADER = "Stream-Closed"
/** Request header of an append: the writer's own sequence, compared byte by byte by the server. */
export const STREAM_SEQ_HEADER = "Stream-Seq"
/** Header of create and HEAD: the sliding time to live in whole seconds. */
export const STREAM_TTL_HEADER = "Stream-TTL"
/** Header of create and HEAD: the absolute time of expiry, RFC 3339. */
export const STREAM_EXPIRES_AT_HEADER = "Stream-Expires-At"
/** Request header of create: the path of the stream to fork, on the same server. */
export const STREAM_FORKED_FROM_HEADER = "Stream-Forked-From"
/** Request header of create: the offset of the source at which a fork begins. */
export const STREAM_FORK_OFFSET_HEADER = "Stream-Fork-Offset"
/** Request header of create: messages (JSON) or bytes past the fork offset. */
export const STREAM_FORK_SUB_OFFSET_HEADER = "Stream-Fork-Sub-Offset"
/** Response header of SSE: `base64` if the data events are encoded. */
export const STREAM_SSE_DATA_ENCODING_HEADER = "Stream-SSE-Data-Encoding"

/** Request header: the identity of an idempotent producer, not empty. */
export const PRODUCER_ID_HEADER = "Producer-Id"
/** Header of requests and responses: the producer's epoch. On a 403 it is the epoch that fenced this producer. */
export const PRODUCER_EPOCH_HEADER = "Producer-Epoch"
/** Header of requests and responses: the sequence number of one batch within its epoch. */
export const PRODUCER_SEQ_HEADER = "Producer-Seq"
/** Response header of a gap (409): the sequence number that the server expects. */
export const PRODUCER_EXPECTED_SEQ_HEADER = "Producer-Expected-Seq"
/** Response header of a gap (409): the sequence number that the server was sent. */
export const PRODUCER_RECEIVED_SEQ_HEADER = "Producer-Received-Seq"

/** Header of requests and responses: the media type. Sent in lower case. */
export const CONTENT_TYPE_HEADER = "content-type"

/** Query parameter of a read: the offset to start at. */
export const OFFSET_QUERY_PARAM = "offset"
/** Query parameter of a live read: `long-poll` or `sse`. Absent on catch-up reads, which caches keep. */
export const LIVE_QUERY_PARAM = "live"
/** Query parameter of a live read: the newest cursor that the server gave. */
export const CURSOR_QUERY_PARAM = "cursor"

/** Field of an SSE control event: where the next read starts. */
export const SSE_OFFSET_FIELD = "streamNextOffset"
/** Field of an SSE control event: the cursor. */
export const SSE_CURSOR_FIELD = "streamCursor"
/** Field of an SSE control event: the stream is closed and was read to its end. */
export const SSE_CLOSED_FIELD = "streamClosed"
/** Field of an SSE control event: the data before it reaches the tail. */
export const SSE_UP_TO_DATE_FIELD = "upToDate"

/** Content types whose SSE data is plain text; every other type arrives as base64. */
export const SSE_COMPATIBLE_CONTENT_TYPES: readonly string[] = ["text/", "application/json"]

/** The query parameters that belong to the protocol; they cannot be set through `params`. */
export const DURABLE_STREAM_PROTOCOL_QUERY_PARAMS: string[] = [
  OFFSET_QUERY_PARAM,
  LIVE_QUERY_PARAM,
  CURSOR_QUERY_PARAM,
]

/** Request header of an append: the offset that the stream's tail must have, or the append is rejected. */
export const STREAM_EXPECTED_OFFSET_HEADER = "Stream-Expected-Offset"

/**
 * What a server must allow and expose for browsers on other origins (`Access-Control-Allow-Headers`,
 * `Access-Control-Expose-Headers`, `Access-Control-Allow-Methods`).
 *
 * @example
 * ```ts
 * import { cors } from "@durable-streams/client"
 *
 * console.log(`Access-Control-Expose-Headers: ${cors.exposedHeaders.join(", ")}`)
 * ```
 */
export const cors: {
  allowedHeaders: string[]
  exposedHeaders: string[]
  allowedMethods: string[]
} = {
  allowedHeaders: [
    CONTENT_TYPE_HEADER,
    "Authorization",
    STREAM_SEQ_HEADER,
    STREAM_TTL_HEADER,
    STREAM_EXPIRES_AT_HEADER,
    STREAM_CLOSED_HEADER,
    STREAM_EXPECTED_OFFSET_HEADER,
    STREAM_FORKED_FROM_HEADER,
    STREAM_FORK_OFFSET_HEADER,
    STREAM_FORK_SUB_OFFSET_HEADER,
    PRODUCER_ID_HEADER,
    PRODUCER_EPOCH_HEADER,
    PRODUCER_SEQ_HEADER,
  ],
  exposedHeaders: [
    STREAM_OFFSET_HEADER,
    STREAM_CURSOR_HEADER,
    STREAM_UP_TO_DATE_HEADER,
    STREAM_CLOSED_HEADER,
    STREAM_TTL_HEADER,
    STREAM_EXPIRES_AT_HEADER,
    STREAM_SSE_DATA_ENCODING_HEADER,
    PRODUCER_EPOCH_HEADER,
    PRODUCER_SEQ_HEADER,
    PRODUCER_EXPECTED_SEQ_HEADER,
    PRODUCER_RECEIVED_SEQ_HEADER,
    CONTENT_TYPE_HEADER,
    "ETag",
    "Retry-After",
    "Date",
    "Location",
  ],
  allowedMethods: ["GET", "HEAD", "POST", "PUT", "DELETE"],
}
