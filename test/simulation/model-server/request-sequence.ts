import type { SeededRandom } from "../../support/seeded-random.ts"

/** One random request; `offset` and `forkOffset` are indices into the offsets seen so far, or a sentinel. */
export interface RandomRequest {
  method: "PUT" | "POST" | "GET" | "HEAD" | "DELETE"
  path: string
  headers: Record<string, string>
  body?: string
  live?: "long-poll" | "sse"
  offset?: number | "-1" | "now" | "none" | ""
  /** Name the offset twice. */
  isOffsetDouble?: boolean
  forkOffset?: number | "-1" | "now"
  /** Send a `Stream-Expires-At` so far from now. */
  expiresInSeconds?: number
  /** So much time passes before the request. */
  afterSeconds?: number
  /** Send the ETag of the last response at this url as `If-None-Match`. */
  conditional?: boolean
}

const JSON_BODIES = [
  "1",
  "[1,2]",
  "[[1],2]",
  '{"a":"é"}',
  '"x"',
  "null",
  "[]",
  "{bad",
  "",
  " [ 7 ] ",
]
const TEXT_BODIES = ["plain", "é€😀", "a\nb", " lead", "", "x"]

/** The random requests of one sequence against `path` and a fork of it. */
export class RequestSequence {
  readonly #random: SeededRandom
  /** The stream that most of the requests are about. */
  readonly path: string
  readonly #contentType: string
  #deleted = false
  #forkRequest: RandomRequest | undefined
  /** The producers' next tuples, as an honest producer would count them. */
  readonly #next = new Map<string, { epoch: number; seq: number }>()

  constructor(random: SeededRandom, path: string) {
    this.#random = random
    this.path = path
    const types = ["application/json", "text/plain", "application/octet-stream"]
    this.#contentType = random.pick(types)
  }

  get isJson(): boolean {
    return this.#contentType === "application/json"
  }

  first(): RandomRequest {
    return { ...this.#put(), path: this.path }
  }

  next(offsetsSeen: number): RandomRequest {
    const request = this.#draw(offsetsSeen)
    // A fork loses its content on the reference server if its source expires and is created again.
    return this.#forkRequest === undefined && this.#random.chance(0.15)
      ? { ...request, afterSeconds: this.#random.int(1, 15) }
      : request
  }

  #draw(offsetsSeen: number): RandomRequest {
    const path = this.#random.chance(0.1) ? `${this.path}-fork` : this.path
    const kind = this.#random.weighted({
      post: 40,
      get: 40,
      head: 8,
      put: 6,
      fork: 6,
      delete: 1,
    })
    if (kind === "head") return { method: "HEAD", path, headers: {} }
    if (kind === "delete") {
      this.#deleted = true
      return { method: "DELETE", path, headers: {} }
    }
    if (kind === "put") return { ...this.#put(), path }
    // Offsets seen before a deletion mean nothing after it.
    if (kind === "fork" && !this.#deleted) return this.#fork(offsetsSeen)
    if (kind === "get" || kind === "fork") return this.#get(path, offsetsSeen)
    return this.#post(path)
  }

  #type(): string {
    const random = this.#random
    if (random.chance(0.04)) return random.pick(["text/html", "application/json", "text/plain"])
    return random.chance(0.1)
      ? `${this.#contentType.toUpperCase()}; charset=utf-8`
      : this.#contentType
  }

  #body(): string {
    return this.#random.pick(this.isJson ? JSON_BODIES : TEXT_BODIES)
  }

  #put(): Omit<RandomRequest, "path"> {
    const random = this.#random
    // A JSON stream created with parameters or capitals in its type gets a response without brackets from the reference server
    // (an empty body, `7,` in an event); PROTOCOL.md wants an array.
    const contentType = this.isJson ? this.#contentType : this.#type()
    const headers: Record<string, string> = { "content-type": contentType }
    const ttl = random.weighted({ none: 18, plain: 3, short: 3, expires: 2, malformed: 1, both: 1 })
    if (ttl === "plain" || ttl === "both") headers["stream-ttl"] = "1000"
    if (ttl === "short") headers["stream-ttl"] = "20"
    if (ttl === "malformed") headers["stream-ttl"] = random.pick(["01", "-1", "1.5", "x"])
    if (ttl === "both") headers["stream-expires-at"] = "2099-01-01T00:00:00Z"
    if (random.chance(0.05)) headers["stream-closed"] = "true"
    return {
      method: "PUT",
      headers,
      ...(ttl === "expires" ? { expiresInSeconds: random.int(5, 30) } : {}),
      ...(random.chance(0.3) ? { body: this.#body() } : {}),
    }
  }

  #fork(offsetsSeen: number): RandomRequest {
    const random = this.#random
    if (this.#forkRequest) {
      const again = random.chance(0.7) ? {} : { "content-type": this.#type() }
      return { ...this.#forkRequest, headers: { ...this.#forkRequest.headers, ...again } }
    }
    // A fork confirmed without a content type or TTL inherits them (PROTOCOL.md); the reference server responds with 409.
    const headers: Record<string, string> = {
      "stream-forked-from": this.path,
      "content-type": this.#contentType,
      "stream-ttl": "1000",
    }
    const request: RandomRequest = { method: "PUT", path: `${this.path}-fork`, headers }
    if (offsetsSeen > 0 && random.chance(0.7)) {
      request.forkOffset = random.chance(0.1)
        ? random.pick(["-1", "now"])
        : random.int(0, offsetsSeen - 1)
      // The reference server loses the sub-offset of a byte stream whose fork offset is 0: messages only.
      if (this.isJson && random.chance(0.6))
        request.headers["stream-fork-sub-offset"] = random.pick([
          "0",
          "1",
          "1",
          "2",
          "3",
          "01",
          "x",
        ])
    }
    return (this.#forkRequest = request)
  }

  #get(path: string, offsetsSeen: number): RandomRequest {
    const random = this.#random
    const offset = random.pick<RandomRequest["offset"]>([
      "-1",
      "now",
      "none",
      // A fork's positions are not those of its source: only the sentinels hold for both.
      ...(offsetsSeen > 0 && path === this.path
        ? [random.int(0, offsetsSeen - 1), random.int(0, offsetsSeen - 1)]
        : []),
    ])
    if (random.chance(0.03)) return { method: "GET", path, headers: {}, offset: "" }
    const isOffsetDouble = random.chance(0.02)
    const live = random.weighted({ no: 12, "long-poll": 2, sse: 2 })
    return {
      method: "GET",
      path,
      headers: {},
      ...(offset === undefined ? {} : { offset }),
      ...(isOffsetDouble ? { isOffsetDouble } : {}),
      ...(live === undefined || live === "no" ? {} : { live }),
      conditional: random.chance(0.2),
    }
  }

  #post(path: string): RandomRequest {
    const random = this.#random
    const headers: Record<string, string> = {}
    if (random.chance(0.97)) headers["content-type"] = this.#type()
    if (random.chance(0.1)) headers["stream-seq"] = random.pick(["a", "b", "B", "10", "9"])
    // The reference server ignores the header, as the model does unless it is told otherwise.
    if (random.chance(0.05)) headers["stream-expected-offset"] = random.pick(["-1", "0", "x"])
    if (random.chance(0.06)) headers["stream-closed"] = random.pick(["true", "true", "yes"])
    // Closing without content under the number of an append is no honest producer's request: not compared. On a
    // deleted stream that forks keep it is 410; the reference server closes it.
    const closesOnly =
      headers["stream-closed"] !== undefined && !this.#deleted && random.chance(0.4)
    if (random.chance(0.6)) this.#addProducer(headers, closesOnly ? "honest" : undefined)
    const body = closesOnly ? "" : this.#body()
    return { method: "POST", path, headers, body }
  }

  #addProducer(headers: Record<string, string>, only: "honest" | undefined): void {
    const random = this.#random
    const id = random.pick(["p", "q"])
    const next = this.#next.get(id) ?? { epoch: 0, seq: 0 }
    const tuple = { ...next }
    const turn =
      only ?? random.weighted({ honest: 60, again: 15, gap: 8, claim: 8, stale: 5, odd: 4 })
    if (turn === "again") tuple.seq = random.int(0, Math.max(0, tuple.seq - 1))
    if (turn === "gap") tuple.seq += random.int(1, 3)
    if (turn === "claim") Object.assign(tuple, { epoch: tuple.epoch + 1, seq: random.int(0, 1) })
    if (turn === "stale") tuple.epoch = Math.max(0, tuple.epoch - 1)
    headers["producer-id"] = id
    headers["producer-epoch"] = String(tuple.epoch)
    headers["producer-seq"] = String(tuple.seq)
    if (turn === "odd") {
      const spoiled = random.pick(["producer-id", "producer-epoch", "producer-seq"])
      const value = random.pick(["", "-1", "x", "1.5", undefined])
      if (value === undefined || spoiled === "producer-id") delete headers[spoiled]
      else headers[spoiled] = value
      return
    }
    if (tuple.epoch === next.epoch && tuple.seq === next.seq)
      this.#next.set(id, { epoch: tuple.epoch, seq: tuple.seq + 1 })
    if (turn === "claim" && tuple.seq === 0) this.#next.set(id, { epoch: tuple.epoch, seq: 1 })
  }
}
