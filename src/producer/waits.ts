import { LinkedAbortController, raceAbort } from "../http/abort.ts"
import { checkSignal } from "../http/endpoint.ts"

/**
 * A promise that is settled from outside. Its rejection never surfaces as an unhandled one: what failed is told in
 * other places too, and a caller that waits for the promise still sees it.
 */
export class Deferred<T> {
  resolve!: (value: T | PromiseLike<T>) => void
  reject!: (error: unknown) => void
  readonly promise = quiet(
    new Promise<T>((resolve, reject) => {
      this.resolve = resolve
      this.reject = reject
    }),
  )
}

/** Marks a promise as one whose rejection may go unheard. */
export function quiet<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => undefined)
  return promise
}

/** Waits for a promise, but no longer than for the signal. @throws FetchBackoffAbortError on abort; InvalidSignalError */
export async function waitFor(
  promise: Promise<void>,
  signal: AbortSignal | undefined,
): Promise<void> {
  if (signal === undefined) return promise
  checkSignal(signal)
  const controller = new LinkedAbortController(signal)
  try {
    await raceAbort(promise, controller.signal)
  } finally {
    controller.end()
  }
}

interface Flush {
  readonly target: number
  readonly deferred: Deferred<void>
  /** Whether it reports rejected messages: it is a call of the program's. */
  readonly isReport: boolean
  error: Error | undefined
}

/** The waits until everything queued up to a batch is settled. */
export class FlushQueue {
  /** In the order of their targets, which only grow. */
  readonly #flushes = new Set<Flush>()
  #unreported: Error | undefined

  /**
   * Waits until every batch up to `target` is settled.
   *
   * @param isReport - whether the promise rejects if a message among them, or one that no wait has reported yet, was rejected
   */
  wait(target: number, isReport = true): Promise<void> {
    const error = isReport ? this.#unreported : undefined
    if (isReport) this.#unreported = undefined
    const deferred = new Deferred<void>()
    this.#flushes.add({ target, deferred, isReport, error })
    return deferred.promise
  }

  /**
   * Notes that a message was rejected.
   *
   * @param isReported - whether another call reports it: then no later wait needs to
   */
  reject(index: number, error: Error, isReported: boolean): void {
    let reported = isReported
    for (const flush of this.#flushes) {
      if (flush.target < index || !flush.isReport) continue
      flush.error ??= error
      reported = true
    }
    if (!reported) this.#unreported ??= error
  }

  /** Ends the waits that are over. @param firstUnsettled - the first batch that is not settled; Infinity if all are */
  settle(firstUnsettled: number): void {
    for (const flush of this.#flushes) {
      if (firstUnsettled <= flush.target) return
      this.#flushes.delete(flush)
      if (flush.error === undefined) flush.deferred.resolve()
      else flush.deferred.reject(flush.error)
    }
  }

  fail(error: Error): void {
    for (const { deferred } of this.#flushes) deferred.reject(error)
    this.#flushes.clear()
  }
}

/**
 * Counts the bytes that are not acknowledged. `ready` is pending while they are too many, or leave no room for the message
 * that was turned away last.
 */
export class BufferLimit {
  readonly maxBytes: number
  readonly #highWaterMarkBytes: number
  readonly #ready = Promise.resolve()
  #bytes = 0
  #awaitedBytes = 0
  #waiting: Deferred<void> | undefined
  #failure: Promise<void> | undefined

  constructor(highWaterMarkBytes: number, maxBytes: number) {
    this.#highWaterMarkBytes = highWaterMarkBytes
    this.maxBytes = maxBytes
  }

  get bytes(): number {
    return this.#bytes
  }

  get isHigh(): boolean {
    if (this.#bytes > this.#highWaterMarkBytes) return true
    // A message that is too large by itself never fits.
    return this.#bytes > 0 && this.#bytes + this.#awaitedBytes > this.maxBytes
  }

  /** One promise for all callers: awaiting it before each message costs nothing. */
  get ready(): Promise<void> {
    if (this.#failure !== undefined) return this.#failure
    if (!this.isHigh) return this.#ready
    this.#waiting ??= new Deferred<void>()
    return this.#waiting.promise
  }

  add(bytes: number): void {
    this.#bytes += bytes
    this.#awaitedBytes = 0
  }

  /** Notes that there was no room for a message: a caller that awaits `ready` now will try it again. */
  noteNoRoom(bytes: number): void {
    this.#awaitedBytes = bytes
  }

  remove(bytes: number): void {
    this.#bytes -= bytes
    if (this.isHigh) return
    this.#waiting?.resolve()
    this.#waiting = undefined
  }

  fail(error: Error): void {
    this.#failure = quiet(Promise.reject(error))
    this.#waiting?.reject(error)
  }
}
