import {
  errorResponse,
  textResponse,
  type ModelResponse,
  type ModelClock,
  type ModelRequest,
} from "./messages.ts"
import type { ModelStream } from "./stream.ts"
import { offsetOf, positionOf } from "./offsets.ts"

/** What a server may choose in its responses to reads. All of it can change while the server runs. */
export interface ReadChoices {
  /** Most messages (JSON) or bytes (else) on one page. */
  pageLimit: () => number
  longPollTimeoutMs: number
  /** Send `Stream-Cursor`. */
  cursors: boolean
  /** Send `ETag` and honour `If-None-Match`. */
  etags: boolean
  /**
   * Where the closure is reported: on the last page with data; only on the empty page after it; or there too, with the page
   * before it marked up to date.
   */
  closure: "with-data" | "after" | "after-up-to-date"
}

/** The defaults, as on the reference server. */
export const DEFAULT_READ_CHOICES: ReadChoices = {
  pageLimit: () => Number.MAX_SAFE_INTEGER,
  longPollTimeoutMs: 30_000,
  cursors: true,
  etags: true,
  closure: "with-data",
}

const CURSOR_INTERVAL_MS = 20_000

/** A cursor as servers make it: the number of the interval, but always past the one the client echoes. */
export function nextCursor(clock: ModelClock, echoed: string | null): string {
  const interval = Math.floor(clock.now() / CURSOR_INTERVAL_MS)
  const last = echoed === null || !/^\d+$/.test(echoed) ? -1 : Number(echoed)
  return String(Math.max(interval, last + 1))
}

/** The rejection of a read whose query is malformed, or undefined. */
export function rejectMalformedRead({ searchParams }: URL): ModelResponse | undefined {
  const offsets = searchParams.getAll("offset")
  if (offsets.length > 1) return errorResponse(400, "Multiple offset parameters")
  return offsets[0] === "" ? errorResponse(400, "Empty offset parameter") : undefined
}

/** Where a read starts: the position that `offset` names, the tail for `now`, or why there is none. */
export function readStart(stream: ModelStream, offset: string | null): number | ModelResponse {
  if (offset === "now") return stream.length
  const position = positionOf(offset ?? "-1")
  if (position === undefined) return errorResponse(400, "Invalid offset")
  if (position < stream.retainedFrom) return errorResponse(410, "Offset is no longer retained")
  return Math.min(position, stream.length)
}

/** `GET` without `live`: one page, maybe empty. */
export function handleCatchUp(
  stream: ModelStream,
  choices: ReadChoices,
  request: ModelRequest,
): ModelResponse {
  const offset = request.url.searchParams.get("offset")
  const start = readStart(stream, offset)
  if (typeof start !== "number") return start
  const response = page(stream, choices, start)
  if (offset === "now") {
    response.headers["cache-control"] = "no-store"
    return response
  }
  const etag = tagPage(stream, choices, offset, response)
  if (etag && request.headers.get("if-none-match") === etag) return textResponse(304, { etag })
  return response
}

function tagPage(
  stream: ModelStream,
  choices: ReadChoices,
  offset: string | null,
  response: ModelResponse,
): string | undefined {
  if (!choices.etags) return undefined
  const end = response.headers["stream-next-offset"] ?? ""
  const closed = response.headers["stream-closed"] ? ":c" : ""
  return (response.headers["etag"] = `"${stream.path}:${offset ?? "-1"}:${end}${closed}"`)
}

/** `GET` with `live=long-poll`: data at once if there is some, else when it comes, else 204 after the wait. */
export function handleLongPoll(
  stream: ModelStream,
  choices: ReadChoices,
  clock: ModelClock,
  request: ModelRequest,
): Promise<ModelResponse> {
  const offset = request.url.searchParams.get("offset")
  if (!offset) return Promise.resolve(errorResponse(400, "Long-poll requires an offset"))
  const start = readStart(stream, offset)
  if (typeof start !== "number") return Promise.resolve(start)
  const echoed = request.url.searchParams.get("cursor")
  const response = (): ModelResponse => {
    if (stream.deleted) return errorResponse(404, "Stream not found")
    // -1 names no position, so it is never the tail: the response comes at once, as on the reference server.
    const hasPage = start < stream.length || offset === "-1"
    const result = hasPage ? page(stream, choices, start) : emptyLongPoll(stream)
    if (result.status === 200) tagPage(stream, choices, offset, result)
    if (choices.cursors && !(result.status === 204 && stream.closed)) {
      result.headers["stream-cursor"] = nextCursor(clock, echoed)
    }
    return result
  }
  if (start < stream.length || stream.closed || offset === "-1") return Promise.resolve(response())
  return new Promise((resolve) => {
    const finish = (): void => {
      stopTimer()
      unwatch()
      request.gone?.removeEventListener("abort", finish)
      resolve(response())
    }
    request.gone?.addEventListener("abort", finish)
    const stopTimer = clock.after(choices.longPollTimeoutMs, finish)
    const unwatch = stream.watch(finish)
  })
}

function emptyLongPoll(stream: ModelStream): ModelResponse {
  return textResponse(204, {
    "stream-next-offset": offsetOf(stream.length),
    "stream-up-to-date": "true",
    ...(stream.closed ? { "stream-closed": "true" } : {}),
  })
}

function page(stream: ModelStream, choices: ReadChoices, start: number): ModelResponse {
  const end = Math.min(stream.length, start + Math.max(1, choices.pageLimit()))
  const headers: Record<string, string> = {
    "content-type": stream.contentType,
    "stream-next-offset": offsetOf(end),
  }
  if (end === stream.length) {
    const tellsClosure = stream.closed && (choices.closure === "with-data" || end === start)
    const hidesClosure = stream.closed && !tellsClosure
    if (!hidesClosure || choices.closure === "after-up-to-date")
      headers["stream-up-to-date"] = "true"
    if (tellsClosure) headers["stream-closed"] = "true"
  }
  return { status: 200, headers, body: { kind: "bytes", bytes: stream.slice(start, end) } }
}
