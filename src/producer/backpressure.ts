import { Deferred, quiet } from "./deferred.ts"

const READY = Promise.resolve()

/**
 * Counts the bytes that are not acknowledged, and holds back whoever waits for `ready` while they are too many, or leave no
 * room for the message that was refused last.
 */
export class Backpressure {
  readonly #highWaterMarkBytes: number
  readonly #maxBufferedBytes: number
  #bytes = 0
  #refusedBytes = 0
  #waiting: Deferred<void> | undefined
  #failure: Promise<void> | undefined

  constructor(highWaterMarkBytes: number, maxBufferedBytes: number) {
    this.#highWaterMarkBytes = highWaterMarkBytes
    this.#maxBufferedBytes = maxBufferedBytes
  }

  get bytes(): number {
    return this.#bytes
  }

  get isHigh(): boolean {
    if (this.#bytes > this.#highWaterMarkBytes) return true
    // One that is too large by itself finds no more room than there is.
    return this.#bytes > 0 && this.#bytes + this.#refusedBytes > this.#maxBufferedBytes
  }

  /** One promise serves all who ask, so that asking before each message costs nothing. */
  get ready(): Promise<void> {
    if (this.#failure !== undefined) return this.#failure
    if (!this.isHigh) return READY
    this.#waiting ??= new Deferred<void>()
    return this.#waiting.promise
  }

  add(bytes: number): void {
    this.#bytes += bytes
    this.#refusedBytes = 0
  }

  /** Notes that there was no room for a message: who waits for `ready` now will try it again. */
  refused(bytes: number): void {
    this.#refusedBytes = bytes
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
    this.#waiting = undefined
  }
}
