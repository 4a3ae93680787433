import { FetchBackoffAbortError } from "../../errors/fetch-backoff-abort-error.ts"
import {
  iterateWith,
  type ReadableStreamAsyncIterable,
} from "../../platform/async-iterable-stream.ts"
import type { PageSource } from "../page.ts"
import type { Delivery, Reader } from "./page-reader.ts"

type Result<T> = IteratorResult<T, undefined>

/** Gives the next value, at once if there is one. */
export type Pull<T> = () => Result<T> | Promise<Result<T>>

const DONE = { done: true, value: undefined } as const

/** What a reader hands over, as it comes: values, or batches of them. */
export function pullEach<T, TBatch, TResult>(
  reader: Reader<T, TBatch>,
  pick: (value: T, batch: TBatch) => TResult,
): Pull<TResult> {
  const take = (delivery: Delivery<T> | undefined): ReturnType<Pull<TResult>> => {
    if (delivery === undefined) return DONE
    const batch = reader.accept(delivery)
    // If the session ended while the value was on its way, the next call tells how.
    return batch === undefined ? pull() : { done: false, value: pick(delivery.value, batch) }
  }
  const pull = () => reader.next().then(take)
  return pull
}

/** The messages of a reader's pages, none of them empty. A page is the caller's with its last message. */
export function pullMessages<T>(source: PageSource, reader: Reader<T[]>): Pull<T> {
  let page: Delivery<T[]> | undefined
  let taken = 0
  const turnTo = (delivery: Delivery<T[]> | undefined) => {
    page = delivery
    taken = 0
    return delivery === undefined ? DONE : pull()
  }
  const pull: Pull<T> = () => {
    // What ends the session takes back the rest of its page.
    if (page === undefined || source.outcome !== undefined) return reader.next().then(turnTo)
    // There is one: the last one lets go of its page. Its type may allow undefined.
    const value = page.value[taken++] as T
    if (taken === page.value.length) {
      reader.accept(page)
      page = undefined
    }
    return { done: false, value }
  }
  return pull
}

/**
 * What is pulled, in turn, for a loop or a stream. An abort ends it at once, also between two values; so does a cancel of the
 * response. To leave it ends the session.
 */
export class PulledValues<T> implements UnderlyingDefaultSource<T> {
  readonly #source: PageSource
  readonly #pull: Pull<T>
  readonly #onEnd: () => void
  #controller: ReadableStreamDefaultController<T> | undefined
  #isOpen = true
  /** Whether the stream waits for a value, which goes through it. */
  #isPulling = false
  /** The last pull that takes time: the next waits for it. */
  #last: Promise<unknown> | undefined

  constructor(source: PageSource, pull: Pull<T>, onEnd: () => void) {
    this.#source = source
    this.#pull = pull
    this.#onEnd = onEnd
  }

  iterate(): AsyncIterableIterator<T> {
    // A caller that stops asking without a `return` delays nothing once the session is over.
    void this.#source.ended.then(this.#onEnd)
    const finish = (): Promise<Result<T>> => {
      this.cancel(undefined)
      return Promise.resolve(DONE)
    }
    return {
      next: () => Promise.resolve(this.#isOpen ? this.#take() : DONE),
      return: finish,
      [Symbol.asyncIterator]() {
        return this
      },
    }
  }

  /**
   * A stream that requests nothing the caller has not asked for. One value is enqueued for each read, so that nothing is
   * queued, and `for await` takes values without the stream: a message costs it a settled promise, a sixth of a read (bench:
   * json-stream).
   */
  stream(): ReadableStreamAsyncIterable<T> {
    const stream = new ReadableStream(this, { highWaterMark: 0 })
    return iterateWith(stream, () => {
      const isQueued = this.#controller?.desiredSize !== 0
      return !this.#isOpen || this.#isPulling || isQueued ? undefined : this.#take()
    })
  }

  start(controller: ReadableStreamDefaultController<T>): void {
    this.#controller = controller
    void this.#source.ended.then((outcome) => {
      if (outcome.kind === "cancelled") this.#close()
      if (outcome.kind === "aborted") this.#fail(new FetchBackoffAbortError(outcome.reason))
    })
  }

  async pull(controller: ReadableStreamDefaultController<T>): Promise<void> {
    this.#isPulling = true
    try {
      const result = await this.#take()
      if (result.done !== true && this.#isOpen) controller.enqueue(result.value)
    } catch {
      // The stream has the error.
    } finally {
      this.#isPulling = false
    }
  }

  cancel(reason: unknown): void {
    this.#end()
    this.#source.cancel(reason)
  }

  #take(): ReturnType<Pull<T>> {
    const result = this.#last === undefined ? this.#pull() : this.#last.then(this.#pull)
    if (!("then" in result)) return result
    const settled = result.then(
      (value) => {
        if (value.done === true) this.#close()
        return value
      },
      (error: unknown) => {
        this.#fail(error)
        throw error
      },
    )
    const onSettled = () => {
      if (this.#last === last) this.#last = undefined
    }
    const last = settled.then(onSettled, onSettled)
    this.#last = last
    return settled
  }

  #close(): void {
    if (this.#end()) this.#controller?.close()
  }

  #fail(error: unknown): void {
    if (this.#end()) this.#controller?.error(error)
  }

  #end(): boolean {
    const wasOpen = this.#isOpen
    this.#isOpen = false
    if (wasOpen) this.#onEnd()
    return wasOpen
  }
}
