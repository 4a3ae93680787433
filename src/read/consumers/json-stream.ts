import {
  iterateWith,
  type ReadableStreamAsyncIterable,
} from "../../platform/async-iterable-stream.ts"
import type { JsonBatch } from "../batches.ts"
import type { Consumption } from "./batch-consumers.ts"
import type { BatchSource, Delivery } from "./page-reader.ts"
import { sessionStream } from "./session-stream.ts"

/** Node takes as long as its queue is for each read from it: 200,000 messages at once took a hundred times as long. */
const MAX_QUEUED = 256

/**
 * The messages of a JSON stream, one by one. Their place moves with the last message of a page, which waits for a read
 * of its own: only then are the others with the consumer, and the page may be called delivered.
 *
 * `for await` takes the other messages from the page itself. Each costs it one settled promise, the least that an
 * asynchronous loop can cost, and about a sixth of a read through the stream's queue.
 */
export function jsonStream<T>(
  consumption: Consumption,
  source: BatchSource<JsonBatch<T>>,
  onEnd: () => void,
): ReadableStreamAsyncIterable<T> {
  const { session } = consumption
  const messages = new MessageFlow(consumption, source)
  let inQueue = false
  let isIterated = false
  const stream = sessionStream<T>(
    session,
    async (controller) => {
      if (messages.atHand === 0 && !(await messages.fill())) return true
      // Nothing is pulled before the queue is empty: what is put there now is all there is.
      const count = isIterated ? 1 : Math.min(MAX_QUEUED, messages.atHand - 1)
      inQueue = count > 1
      for (let put = 0; put === 0 || put < count; put++) controller.enqueue(messages.take())
      return session.state.kind === "ended"
    },
    onEnd,
  )
  iterateWith(stream, () => {
    isIterated = true
    if (inQueue || messages.atHand <= 1) return undefined
    return { done: false, value: messages.take() }
  })
  return stream
}

/** The messages of the page that is being given. */
class MessageFlow<T> {
  readonly #consumption: Consumption
  readonly #source: BatchSource<JsonBatch<T>>
  #items: readonly T[] = []
  #taken = 0
  #delivery: Delivery<JsonBatch<T>> | undefined

  constructor(consumption: Consumption, source: BatchSource<JsonBatch<T>>) {
    this.#consumption = consumption
    this.#source = source
  }

  /** How many messages can be taken now. What ends the session takes the rest of them back. */
  get atHand(): number {
    const { state } = this.#consumption.session
    return state.kind === "delivering" ? this.#items.length - this.#taken : 0
  }

  /**
   * Gets messages, where none are at hand.
   *
   * @returns false at the end of the session
   * @throws what ended the session
   */
  async fill(): Promise<boolean> {
    while (this.atHand === 0) {
      this.#delivery = await this.#source()
      if (this.#delivery === undefined) return false
      this.#items = this.#delivery.batch.items
      this.#taken = 0
      if (this.#items.length === 0) this.#handOver(this.#delivery)
    }
    return true
  }

  /** Takes one of those at hand; the last one hands the page over. */
  take(): T {
    // There is one at hand; its type may allow undefined.
    const item = this.#items[this.#taken++] as T
    if (this.#taken === this.#items.length && this.#delivery !== undefined) {
      this.#handOver(this.#delivery)
    }
    return item
  }

  #handOver({ mark, empty }: Delivery<JsonBatch<T>>): void {
    this.#items = []
    this.#taken = 0
    this.#delivery = undefined
    this.#consumption.progress.move(mark)
    this.#consumption.session.delivered(0, empty)
  }
}
