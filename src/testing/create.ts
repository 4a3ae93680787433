import { errorResponse, textResponse, type ModelResponse, type ModelRequest } from "./messages.ts"
import {
  mediaTypeOf,
  ModelBodyError,
  ModelStream,
  type ModelLifetime,
  type ModelOrigin,
} from "./stream.ts"
import { offsetOf, positionOf } from "./offsets.ts"

interface Rejection {
  rejected: ModelResponse
}

interface ForkPoint {
  origin: ModelOrigin
  end: number
}

/**
 * `PUT`: create a stream or a fork in `streams`, or confirm the one that is there.
 *
 * @param find - the stream at a path, if its lifetime is not over
 */
export function handlePut(
  streams: Map<string, ModelStream>,
  find: (path: string) => ModelStream | undefined,
  request: ModelRequest,
  nowMs: number,
): ModelResponse {
  const lifetime = readLifetime(request.headers)
  if ("rejected" in lifetime) return lifetime.rejected
  const existing = find(request.url.pathname)
  if (existing) return confirm(existing, request.headers, lifetime)
  const fork = readFork(find, request.headers)
  if (fork && "rejected" in fork) return fork.rejected
  const named = request.headers.get("content-type")
  const source = fork?.origin.source
  const stream = new ModelStream({
    path: request.url.pathname,
    contentType: named ?? source?.contentType ?? "application/octet-stream",
    lifetime: source && Object.keys(lifetime).length === 0 ? source.lifetime : lifetime,
    origin: fork?.origin,
    nowMs,
  })
  if (fork) stream.copyFrom(fork.origin.source, fork.end)
  try {
    if (request.body.length > 0) stream.append(request.body)
  } catch (error) {
    if (error instanceof ModelBodyError) return errorResponse(400, error.message)
    throw error
  }
  if (wantsClosed(request.headers)) stream.close(undefined)
  if (source) source.forkCount++
  streams.set(stream.path, stream)
  return created(stream, 201, { location: request.url.origin + stream.path })
}

function wantsClosed(headers: ReadonlyMap<string, string>): boolean {
  return headers.get("stream-closed")?.toLowerCase() === "true"
}

function confirm(
  existing: ModelStream,
  headers: ReadonlyMap<string, string>,
  lifetime: ModelLifetime,
): ModelResponse {
  if (existing.deleted) return errorResponse(409, "Stream was deleted but still has forks")
  const { origin } = existing
  const forkOffset = headers.get("stream-fork-offset")
  const inherits = headers.has("stream-forked-from")
  const contentType =
    headers.get("content-type") ?? (inherits ? existing.contentType : "application/octet-stream")
  const inheritsLifetime = inherits && Object.keys(lifetime).length === 0
  const same =
    mediaTypeOf(existing.contentType) === mediaTypeOf(contentType) &&
    (inheritsLifetime || existing.lifetime.ttlSeconds === lifetime.ttlSeconds) &&
    (inheritsLifetime || existing.lifetime.expiresAt === lifetime.expiresAt) &&
    existing.closed === wantsClosed(headers) &&
    origin?.path === headers.get("stream-forked-from") &&
    (forkOffset === undefined || origin?.start === positionOf(forkOffset)) &&
    (origin?.subOffset ?? 0) === Number(headers.get("stream-fork-sub-offset") ?? "0")
  if (!same) return errorResponse(409, "Stream already exists with different configuration")
  return created(existing, 200, {})
}

function created(
  stream: ModelStream,
  status: number,
  extra: Record<string, string>,
): ModelResponse {
  return textResponse(status, {
    "content-type": stream.contentType,
    "stream-next-offset": offsetOf(stream.length),
    ...(stream.closed ? { "stream-closed": "true" } : {}),
    ...extra,
  })
}

function readLifetime(headers: ReadonlyMap<string, string>): ModelLifetime | Rejection {
  const ttl = headers.get("stream-ttl")
  const expiresAt = headers.get("stream-expires-at")
  if (ttl !== undefined && expiresAt !== undefined) {
    return { rejected: errorResponse(400, "Both Stream-TTL and Stream-Expires-At") }
  }
  if (ttl !== undefined) {
    if (!/^(0|[1-9]\d*)$/.test(ttl)) return { rejected: errorResponse(400, "Invalid Stream-TTL") }
    return { ttlSeconds: Number(ttl) }
  }
  if (expiresAt !== undefined) {
    if (Number.isNaN(Date.parse(expiresAt))) {
      return { rejected: errorResponse(400, "Invalid Stream-Expires-At") }
    }
    return { expiresAt }
  }
  return {}
}

function readFork(
  find: (path: string) => ModelStream | undefined,
  headers: ReadonlyMap<string, string>,
): ForkPoint | Rejection | undefined {
  const path = headers.get("stream-forked-from")
  const sub = headers.get("stream-fork-sub-offset")
  if (path === undefined) {
    return sub === undefined
      ? undefined
      : { rejected: errorResponse(400, "Sub-offset without a fork") }
  }
  const offset = headers.get("stream-fork-offset") ?? ""
  // -1 is where a read starts, and no position that a fork can name.
  const named = offset === "-1" ? undefined : positionOf(offset)
  const isMalformed = (offset !== "" && named === undefined) || !/^(0|[1-9]\d*)$/.test(sub ?? "0")
  if (isMalformed) return { rejected: errorResponse(400, "Invalid fork offset") }
  const source = find(path)
  if (source === undefined) return { rejected: errorResponse(404, "Source stream not found") }
  if (source.deleted) return { rejected: errorResponse(409, "Source stream is deleted") }
  const contentType = headers.get("content-type")
  if (contentType && mediaTypeOf(contentType) !== mediaTypeOf(source.contentType)) {
    return { rejected: errorResponse(409, "Content type mismatch with source stream") }
  }
  const start = named ?? source.length
  const subOffset = Number(sub ?? "0")
  const end = start + subOffset
  if (start > source.length || end > source.entryEnd(start)) {
    return { rejected: errorResponse(400, "No such position in the source stream") }
  }
  return { origin: { path, start, subOffset, source }, end }
}
