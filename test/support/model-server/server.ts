import { answerPut } from "./create.ts"
import {
  errorAnswer,
  textAnswer,
  type ModelAnswer,
  type ModelClock,
  type ModelRequest,
} from "./messages.ts"
import { answerCatchUp, answerLongPoll, DEFAULT_READ_CHOICES, type ReadChoices } from "./read.ts"
import { answerSse, DEFAULT_SSE_CHOICES, type SseChoices } from "./sse.ts"
import type { ModelStream } from "./stream.ts"
import { answerPost, refuseMalformedPost } from "./append.ts"
import { offsetOf } from "./offsets.ts"

/**
 * The server of PROTOCOL.md in one process, without a socket: requests in, answers out. Its offsets are opaque on purpose
 * (see opaque-offsets.ts). `test/simulation/model-vs-reference.test.ts` checks it against the reference server.
 */
export class ModelServer {
  readonly choices: ReadChoices & SseChoices = { ...DEFAULT_READ_CHOICES, ...DEFAULT_SSE_CHOICES }
  readonly #clock: ModelClock
  readonly #streams = new Map<string, ModelStream>()

  constructor(clock: ModelClock, choices: Partial<ReadChoices & SseChoices> = {}) {
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

  /** Forget the producers' states of every stream, as a server may after a restart or a week. */
  forgetProducers(): void {
    for (const stream of this.#streams.values()) stream.producers.forget()
  }

  async answer(request: ModelRequest): Promise<ModelAnswer> {
    const stream = this.#find(request.url.pathname)
    if (request.method === "PUT") {
      return answerPut(this.#streams, stream, request, this.#clock.now())
    }
    const malformed = request.method === "POST" ? refuseMalformedPost(request) : undefined
    if (malformed) return malformed
    if (stream === undefined) return errorAnswer(404, "Stream not found")
    if (stream.deleted) return errorAnswer(410, "Stream is gone")
    switch (request.method) {
      case "POST":
        stream.accessedMs = this.#clock.now()
        return answerPost(stream, request)
      case "GET":
        stream.accessedMs = this.#clock.now()
        return this.#answerGet(stream, request)
      case "HEAD":
        return answerHead(stream)
      case "DELETE":
        return this.#answerDelete(stream)
      default:
        return errorAnswer(405, "Method not allowed")
    }
  }

  #answerGet(stream: ModelStream, request: ModelRequest): ModelAnswer | Promise<ModelAnswer> {
    const live = request.url.searchParams.get("live")
    if (live === "sse") return answerSse(stream, this.choices, this.#clock, request)
    if (live === "long-poll") {
      return answerLongPoll(stream, this.choices, this.#clock, request)
    }
    return answerCatchUp(stream, this.choices, request)
  }

  #answerDelete(stream: ModelStream): ModelAnswer {
    stream.deleted = true
    stream.changed()
    if (stream.forkCount === 0) this.#remove(stream)
    return textAnswer(204, {})
  }

  /** Streams that only their forks kept go with the last of them. */
  #remove(stream: ModelStream): void {
    this.#streams.delete(stream.path)
    const source = stream.origin?.source
    if (source === undefined) return
    source.forkCount--
    if (source.deleted && source.forkCount === 0) this.#remove(source)
  }

  #find(path: string): ModelStream | undefined {
    const stream = this.#streams.get(path)
    if (stream === undefined || stream.deleted) return stream
    const { ttlSeconds, expiresAt } = stream.lifetime
    const endMs =
      ttlSeconds === undefined
        ? Date.parse(expiresAt ?? "9999-01-01T00:00:00Z")
        : stream.accessedMs + ttlSeconds * 1000
    if (this.#clock.now() < endMs) return stream
    this.#answerDelete(stream)
    return this.#streams.get(path)
  }
}

function answerHead(stream: ModelStream): ModelAnswer {
  const { ttlSeconds, expiresAt } = stream.lifetime
  return textAnswer(200, {
    "content-type": stream.contentType,
    "stream-next-offset": offsetOf(stream.length),
    "cache-control": "no-store",
    etag: `"${stream.path}:-1:${offsetOf(stream.length)}${stream.closed ? ":c" : ""}"`,
    ...(stream.closed ? { "stream-closed": "true" } : {}),
    ...(ttlSeconds === undefined ? {} : { "stream-ttl": String(ttlSeconds) }),
    ...(expiresAt === undefined ? {} : { "stream-expires-at": expiresAt }),
  })
}
