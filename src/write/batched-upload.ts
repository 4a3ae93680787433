import type { ResponseMetadata } from "../http/request.ts"
import type { AppendPart } from "./append-body.ts"
import type { PartSource } from "./upload-body.ts"

/** How an upload is cut into requests. */
export interface BatchedUpload {
  /** The parts that were read already; at least one. */
  readonly first: readonly AppendPart[]
  readonly parts: PartSource
  /** How much is read ahead while a request is under way, and so sent at once: bytes or UTF-16 units. */
  readonly maxBatchSize: number
  /** Sends one batch. */
  readonly send: (batch: readonly AppendPart[]) => Promise<ResponseMetadata>
}

/**
 * Uploads a source in requests one after another, for platforms that cannot send a stream. Each one takes what came
 * while the last one was under way.
 *
 * @returns the answer to the last one
 * @throws what reading or sending threw; what was sent before then stays
 */
export async function batchedUpload({
  first,
  parts,
  maxBatchSize,
  send,
}: BatchedUpload): Promise<ResponseMetadata> {
  const buffer = new PartBuffer(first, maxBatchSize)
  // Its failure is met by take(), in its place in the order.
  void buffer.fill(parts)
  let answer: ResponseMetadata | undefined
  try {
    for (;;) {
      const batch = await buffer.take()
      if (batch.length === 0 && answer !== undefined) return answer
      answer = await send(batch)
    }
  } finally {
    buffer.stop()
  }
}

/** Parts that were read and not yet sent: at most one batch of them. */
class PartBuffer {
  readonly #maxSize: number
  #parts: AppendPart[] = []
  #size = 0
  #end: { readonly error?: unknown } | undefined
  #wake: () => void = () => undefined

  constructor(first: readonly AppendPart[], maxSize: number) {
    this.#maxSize = maxSize
    this.#add(first)
  }

  /** Reads parts until there are none, no further ahead than one batch. Does not reject. */
  async fill(parts: PartSource): Promise<void> {
    try {
      while (this.#end === undefined) {
        const some = await parts.next()
        if (some === undefined) break
        this.#add(some)
        while (this.#size >= this.#maxSize && !this.#isOver()) await this.#change()
      }
      this.#finish({})
    } catch (error) {
      this.#finish({ error })
    }
  }

  /** Takes all that is there, waiting for something; empty at the end. */
  async take(): Promise<readonly AppendPart[]> {
    const wanted = Number.isFinite(this.#maxSize) ? 1 : Infinity
    while (this.#size < wanted && !this.#isOver()) await this.#change()
    if (this.#end !== undefined && "error" in this.#end) throw this.#end.error
    const taken = this.#parts
    this.#parts = []
    this.#size = 0
    this.#changed()
    return taken
  }

  /** Ends the reading ahead. */
  stop(): void {
    this.#finish({})
  }

  #add(parts: readonly AppendPart[]): void {
    for (const part of parts) {
      this.#parts.push(part)
      this.#size += part.length
    }
    this.#changed()
  }

  #isOver(): boolean {
    return this.#end !== undefined
  }

  #finish(end: { readonly error?: unknown }): void {
    this.#end ??= end
    this.#changed()
  }

  #changed(): void {
    this.#wake()
  }

  /** Resolves at the next change. Reader and taker may wait at once: the wake-ups are chained. */
  #change(): Promise<void> {
    return new Promise((resolve) => {
      const others = this.#wake
      this.#wake = () => {
        this.#wake = () => undefined
        others()
        resolve()
      }
    })
  }
}
