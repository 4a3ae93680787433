import { Deferred, quiet } from "./deferred.ts"

/**
 * Counts the bytes that are not acknowledged. `ready` is pending while they are too many, or leave no room for the message
 * that was turned away last.
 */
export class BufferLimit {
  readonly #highWaterMarkBytes: number
  readonly #maxBufferedBytes: number
  #bytes = 0
  #awaitedBytes = 0
  readonly #ready = Promise.resolve()
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
    // A message that is too large by itself never fits.
    return this.#bytes > 0 && this.#bytes + this.#awaitedBytes > this.#maxBufferedBytes
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
    this.#waiting = undefined
  }
}
