import { Deferred, quiet } from "./deferred.ts"

const READY = Promise.resolve()

/** Counts the bytes that are not acknowledged, and holds back whoever waits for `ready` while they are too many. */
export class Backpressure {
  readonly #highWaterMarkBytes: number
  #bytes = 0
  #waiting: Deferred<void> | undefined
  #failure: Promise<void> | undefined

  constructor(highWaterMarkBytes: number) {
    this.#highWaterMarkBytes = highWaterMarkBytes
  }

  get bytes(): number {
    return this.#bytes
  }

  get isHigh(): boolean {
    return this.#bytes > this.#highWaterMarkBytes
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
