import { ModelProducers, type ProducerTuple } from "./producers.ts"

/** How long a stream lives; at most one of the two. */
export interface ModelLifetime {
  ttlSeconds?: number
  expiresAt?: string
}

/** Where a fork came from: `start` is the position that its creator named, or the source's tail at that time. */
export interface ModelOrigin {
  path: string
  start: number
  subOffset: number
  source: ModelStream
}

const encoder = new TextEncoder()

/** Thrown for a JSON body that cannot be appended; the message is the response's text. */
export class ModelBodyError extends Error {}

/** One stream of the model: its content, whether it is closed, its writers' states, and who waits for a change. */
export class ModelStream {
  readonly path: string
  readonly contentType: string
  readonly isJson: boolean
  readonly lifetime: ModelLifetime
  readonly origin: ModelOrigin | undefined
  readonly producers = new ModelProducers()
  /** JSON streams: every message, serialized, in order. */
  readonly messages: string[] = []
  closed = false
  closedBy: ProducerTuple | undefined
  lastSeq: string | undefined
  accessedMs: number
  forkCount = 0
  deleted = false
  /** Positions below this one are no longer retained (410). */
  retainedFrom = 0
  /** Where each entry (what one request appended) ends. */
  readonly #entryEnds: number[] = []
  #bytes = new Uint8Array(64)
  #byteLength = 0
  readonly #watchers = new Set<() => void>()

  constructor(fields: {
    path: string
    contentType: string
    lifetime: ModelLifetime
    origin: ModelOrigin | undefined
    nowMs: number
  }) {
    this.path = fields.path
    this.contentType = fields.contentType
    this.isJson = mediaTypeOf(fields.contentType) === "application/json"
    this.lifetime = fields.lifetime
    this.origin = fields.origin
    this.accessedMs = fields.nowMs
  }

  /** The tail's position: messages of a JSON stream, bytes of any other. */
  get length(): number {
    return this.isJson ? this.messages.length : this.#byteLength
  }

  /** The messages of a JSON body, flattened by one level; throws {@link ModelBodyError} for what is not JSON. */
  static parseMessages(body: Uint8Array): string[] {
    let value: unknown
    try {
      value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body))
    } catch {
      throw new ModelBodyError("Invalid JSON")
    }
    const items: unknown[] = Array.isArray(value) ? value : [value]
    return items.map((item) => JSON.stringify(item))
  }

  append(body: Uint8Array): void {
    const before = this.length
    if (this.isJson) this.messages.push(...ModelStream.parseMessages(body))
    else this.#appendBytes(body)
    if (this.length > before) this.#entryEnds.push(this.length)
  }

  /** The end of the entry that follows a position; the position itself at the tail. */
  entryEnd(position: number): number {
    return this.#entryEnds.find((end) => end > position) ?? position
  }

  /** Take over the content of another stream up to `end` (for a fork). */
  copyFrom(source: ModelStream, end: number): void {
    if (this.isJson) this.messages.push(...source.messages.slice(0, end))
    else this.#appendBytes(source.slice(0, end))
    this.#entryEnds.push(...source.#entryEnds.filter((entryEnd) => entryEnd < end))
    if (end > 0) this.#entryEnds.push(end)
  }

  /** The content from one position to another, as a read returns it. */
  slice(from: number, to: number): Uint8Array {
    if (this.isJson) return encoder.encode(`[${this.messages.slice(from, to).join(",")}]`)
    return this.#bytes.slice(from, to)
  }

  close(by: ProducerTuple | undefined): void {
    this.closed = true
    this.closedBy ??= by
  }

  /** Call `watcher` at every change until the result is called. */
  watch(watcher: () => void): () => void {
    this.#watchers.add(watcher)
    return () => void this.#watchers.delete(watcher)
  }

  changed(): void {
    for (const watcher of [...this.#watchers]) watcher()
  }

  #appendBytes(bytes: Uint8Array): void {
    const needed = this.#byteLength + bytes.length
    if (needed > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(needed, this.#bytes.length * 2))
      grown.set(this.#bytes.subarray(0, this.#byteLength))
      this.#bytes = grown
    }
    this.#bytes.set(bytes, this.#byteLength)
    this.#byteLength = needed
  }
}

/** The media type of a content type: lower case, without parameters. */
export function mediaTypeOf(contentType: string): string {
  return (contentType.split(";")[0] ?? "").trim().toLowerCase()
}
