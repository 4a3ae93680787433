import { handlePut } from "./create.ts"
import {
  errorResponse,
  textResponse,
  type ModelResponse,
  type ModelClock,
  type ModelRequest,
} from "./messages.ts"
import {
  handleCatchUp,
  handleLongPoll,
  rejectMalformedRead,
  DEFAULT_READ_CHOICES,
  type ReadChoices,
} from "./read.ts"
import { handleSse, DEFAULT_SSE_CHOICES, type SseChoices } from "./sse.ts"
import type { ModelStream } from "./stream.ts"
import {
  DEFAULT_WRITE_CHOICES,
  handlePost,
  rejectMalformedPost,
  type WriteChoices,
} from "./append.ts"
import { offsetOf } from "./offsets.ts"

/** Everything that PROTOCOL.md leaves to the server. */
export type ServerChoices = ReadChoices & SseChoices & WriteChoices

/**
 * The server of PROTOCOL.md in one process, without a socket: requests in, responses out. Its offsets are opaque on purpose
 * (see offsets.ts). `test/simulation/model-server/model-vs-reference.test.ts` checks it against the reference server.
 */
export class ModelServer {
  readonly choices: ServerChoices = {
    ...DEFAULT_READ_CHOICES,
    ...DEFAULT_SSE_CHOICES,
    ...DEFAULT_WRITE_CHOICES,
  }
  readonly #clock: ModelClock
  readonly #streams = new Map<string, ModelStream>()

  constructor(clock: ModelClock, choices: Partial<ServerChoices> = {}) {
    this.#clock = clock
    Object.assign(this.choices, choices)
  }

  /** The stream at a path, for checks; throws where there is none. */
  stream(path: string): ModelStream {
    const stream = this.#streams.get(path)
    if (stream === undefined) throw new Error(`the model has no stream ${path}`)
    return stream
  }

  /** The stream at a path, or undefined. */
  findStream(path: string): ModelStream | undefined {
    return this.#streams.get(path)
  }

  /** The paths of every stream. */
  streamPaths(): string[] {
    // A stream that has expired goes once it is asked for.
    return [...this.#streams.keys()].filter((path) => this.#find(path)?.deleted === false)
  }

  /** The stream's lifetime is over, at this moment: as if it were deleted. */
  expire(stream: ModelStream): void {
    if (!stream.deleted) this.#handleDelete(stream)
  }

  /** Forget the producers' states of every stream, as a server may after a restart or a week. */
  forgetProducers(): void {
    for (const stream of this.#streams.values()) stream.producers.forget()
  }

  async handle(request: ModelRequest): Promise<ModelResponse> {
    if (request.method === "PUT") {
      const { pathname } = request.url
      const find = (path: string) => this.#find(path, path === pathname)
      return handlePut(this.#streams, find, request, this.#clock.now())
    }
    const stream = this.#find(request.url.pathname)
    const malformed = request.method === "POST" ? rejectMalformedPost(request) : undefined
    if (malformed) return malformed
    if (stream === undefined) return errorResponse(404, "Stream not found")
    if (stream.deleted) return errorResponse(410, "Stream is gone")
    switch (request.method) {
      case "POST":
        stream.accessedMs = this.#clock.now()
        return handlePost(stream, this.choices, request)
      case "GET":
        return this.#handleGet(stream, request)
      case "HEAD":
        return handleHead(stream)
      case "DELETE":
        return this.#handleDelete(stream)
      default:
        return errorResponse(405, "Method not allowed")
    }
  }

  #handleGet(stream: ModelStream, request: ModelRequest): ModelResponse | Promise<ModelResponse> {
    const malformed = rejectMalformedRead(request.url)
    if (malformed) return malformed
    stream.accessedMs = this.#clock.now()
    const live = request.url.searchParams.get("live")
    if (live === "sse") return handleSse(stream, this.choices, this.#clock, request)
    if (live === "long-poll") {
      return handleLongPoll(stream, this.choices, this.#clock, request)
    }
    return handleCatchUp(stream, this.choices, request)
  }

  #handleDelete(stream: ModelStream): ModelResponse {
    stream.deleted = true
    stream.changed()
    if (stream.forkCount === 0) this.#remove(stream)
    return textResponse(204, {})
  }

  /** Streams that only their forks kept go with the last of them. */
  #remove(stream: ModelStream): void {
    this.#streams.delete(stream.path)
    const source = stream.origin?.source
    if (source === undefined) return
    source.forkCount--
    const isKept = source.deleted && this.#streams.get(source.path) === source
    if (isKept && source.forkCount === 0) this.#remove(source)
  }

  /** @param isCreating - a stream that has expired makes room, even if it has forks; one that was deleted does not */
  #find(path: string, isCreating = false): ModelStream | undefined {
    const stream = this.#streams.get(path)
    if (stream === undefined || stream.deleted) return stream
    const { ttlSeconds, expiresAt } = stream.lifetime
    const endMs =
      ttlSeconds === undefined
        ? Date.parse(expiresAt ?? "9999-01-01T00:00:00Z")
        : stream.accessedMs + ttlSeconds * 1000
    if (this.#clock.now() < endMs) return stream
    this.expire(stream)
    if (isCreating) this.#streams.delete(path)
    return this.#streams.get(path)
  }
}

function handleHead(stream: ModelStream): ModelResponse {
  const { ttlSeconds, expiresAt } = stream.lifetime
  return textResponse(200, {
    "content-type": stream.contentType,
    "stream-next-offset": offsetOf(stream.length),
    "cache-control": "no-store",
    etag: `"${stream.path}:-1:${offsetOf(stream.length)}${stream.closed ? ":c" : ""}"`,
    ...(stream.closed ? { "stream-closed": "true" } : {}),
    ...(ttlSeconds === undefined ? {} : { "stream-ttl": String(ttlSeconds) }),
    ...(expiresAt === undefined ? {} : { "stream-expires-at": expiresAt }),
  })
}
