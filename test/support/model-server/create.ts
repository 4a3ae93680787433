import { errorAnswer, textAnswer, type ModelAnswer, type ModelRequest } from "./messages.ts"
import {
  mediaTypeOf,
  ModelBodyError,
  ModelStream,
  type ModelLifetime,
  type ModelOrigin,
} from "./stream.ts"
import { offsetOf, positionOf } from "./offsets.ts"

interface Refusal {
  refused: ModelAnswer
}

interface ForkPoint {
  origin: ModelOrigin
  end: number
}

/** `PUT`: create a stream or a fork in `streams`, or confirm the one that is there. */
export function answerPut(
  streams: Map<string, ModelStream>,
  existing: ModelStream | undefined,
  request: ModelRequest,
  nowMs: number,
): ModelAnswer {
  const lifetime = readLifetime(request.headers)
  if ("refused" in lifetime) return lifetime.refused
  if (existing) return confirm(existing, request.headers, lifetime)
  const fork = readFork(streams, request.headers)
  if (fork && "refused" in fork) return fork.refused
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
    if (error instanceof ModelBodyError) return errorAnswer(400, error.message)
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
): ModelAnswer {
  if (existing.deleted) return errorAnswer(409, "Stream was deleted but still has forks")
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
  if (!same) return errorAnswer(409, "Stream already exists with different configuration")
  return created(existing, 200, {})
}

function created(stream: ModelStream, status: number, extra: Record<string, string>): ModelAnswer {
  return textAnswer(status, {
    "content-type": stream.contentType,
    "stream-next-offset": offsetOf(stream.length),
    ...(stream.closed ? { "stream-closed": "true" } : {}),
    ...extra,
  })
}

function readLifetime(headers: ReadonlyMap<string, string>): ModelLifetime | Refusal {
  const ttl = headers.get("stream-ttl")
  const expiresAt = headers.get("stream-expires-at")
  if (ttl !== undefined && expiresAt !== undefined) {
    return { refused: errorAnswer(400, "Both Stream-TTL and Stream-Expires-At") }
  }
  if (ttl !== undefined) {
    if (!/^(0|[1-9]\d*)$/.test(ttl)) return { refused: errorAnswer(400, "Invalid Stream-TTL") }
    return { ttlSeconds: Number(ttl) }
  }
  if (expiresAt !== undefined) {
    if (Number.isNaN(Date.parse(expiresAt))) {
      return { refused: errorAnswer(400, "Invalid Stream-Expires-At") }
    }
    return { expiresAt }
  }
  return {}
}

function readFork(
  streams: ReadonlyMap<string, ModelStream>,
  headers: ReadonlyMap<string, string>,
): ForkPoint | Refusal | undefined {
  const path = headers.get("stream-forked-from")
  if (path === undefined) return undefined
  const source = streams.get(path)
  if (source === undefined) return { refused: errorAnswer(404, "Source stream not found") }
  if (source.deleted) return { refused: errorAnswer(409, "Source stream is deleted") }
  const named = headers.get("content-type")
  if (named && mediaTypeOf(named) !== mediaTypeOf(source.contentType)) {
    return { refused: errorAnswer(409, "Content type mismatch with source stream") }
  }
  const offset = headers.get("stream-fork-offset")
  const start = offset === undefined ? source.length : positionOf(offset)
  const sub = headers.get("stream-fork-sub-offset") ?? "0"
  const end = (start ?? 0) + Number(sub)
  if (start === undefined || !/^\d+$/.test(sub) || end > source.length) {
    return { refused: errorAnswer(400, "Invalid fork offset") }
  }
  return { origin: { path, start, subOffset: Number(sub), source }, end }
}
