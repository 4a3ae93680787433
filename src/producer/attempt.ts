import { FetchBackoffAbortError } from "../errors/fetch-backoff-abort-error.ts"
import { FetchError } from "../errors/fetch-error.ts"
import { StreamClosedError } from "../errors/stream-closed-error.ts"
import { LinkedAbortController } from "../http/abort.ts"
import type { Endpoint } from "../http/endpoint.ts"
import { exchange, type StreamRequest } from "../http/request.ts"
import type { RetryNotice } from "../http/retry-loop.ts"
import { sleep } from "../http/sleep.ts"
import { takeKeepalive } from "../platform/page-departure.ts"
import { resendsRequests } from "../platform/resent-requests.ts"
import {
  CONTENT_TYPE_HEADER,
  PRODUCER_EPOCH_HEADER,
  PRODUCER_ID_HEADER,
  PRODUCER_SEQ_HEADER,
  STREAM_CLOSED_HEADER,
} from "../protocol/names.ts"
import type { Offset } from "../protocol/offset.ts"
import { describeUrl } from "../protocol/request-url.ts"
import type { Batch, BatchNumber } from "./batch.ts"
import type { Delivery } from "./delivery.ts"
import { askForTail } from "./stream-head.ts"
import { verdictOfAnswer, verdictOfError, type Verdict } from "./verdict.ts"

/** What every attempt of a producer is made with. */
export interface AttemptSettings {
  readonly endpoint: Endpoint
  readonly producerId: string
  /** Whether nobody can have used the producer's id before. */
  readonly isNewId: boolean
  readonly deliveryTimeoutMs: number
  /** Ends everything. */
  readonly signal: AbortSignal
  readonly contentType: () => string
  /** The epoch that the producer began with. */
  readonly epoch: number
  /** Where the stream ended before the producer sent anything; an empty string where nobody looked. */
  readonly tailBefore: () => Offset
  /** The highest seq given out in the epoch. */
  readonly highestSeq: () => number
}

/** What one attempt is told. */
export interface AttemptOptions {
  readonly number: BatchNumber
  /** Whether to try again until the delivery's time is up, or only once. */
  readonly persists: boolean
  /** Not to be sent before, by the clock. */
  readonly notBeforeMs: number
  /** Told before each wait for the next try; says whether there shall be one. */
  readonly onBackoff: (delayMs: number) => boolean
}

type Fenced = Extract<Verdict, { kind: "fenced" }>

const EXPIRED: unique symbol = Symbol("expired")
const CALLED_OFF: unique symbol = Symbol("called off")
const MAX_TIMER_MS = 2 ** 31 - 1

/** One attempt to deliver a batch under its number: a request, or as many as it takes within the delivery's time. */
export class Attempt {
  readonly #delivery: Delivery
  readonly #settings: AttemptSettings
  readonly #scope: LinkedAbortController
  #timer: ReturnType<typeof setTimeout> | undefined
  #lastError: Error | undefined

  constructor(delivery: Delivery, settings: AttemptSettings) {
    this.#delivery = delivery
    this.#settings = settings
    this.#scope = new LinkedAbortController(settings.signal)
  }

  /** Calls it off where no request is out. One that is out gets its answer: it says whether the batch is stored. */
  callOff(): void {
    if (!this.#delivery.isAsking) this.#scope.abort(CALLED_OFF)
  }

  /**
   * Makes the attempt. Never rejects. The delivery is told whether a request is out, and whether it may have been stored
   * without an answer that says so.
   */
  async run(options: AttemptOptions): Promise<Verdict> {
    const delivery = this.#delivery
    try {
      return await this.#send(options)
    } catch (error) {
      if (!(error instanceof FetchBackoffAbortError)) {
        delivery.noteFailure(error)
        return this.#verdictOf(error)
      }
      if (delivery.isAsking) delivery.inDoubt = true
      const isExpired = this.#scope.signal.reason === EXPIRED
      return isExpired ? { kind: "fatal", error: this.#expiredError() } : { kind: "interrupted" }
    } finally {
      clearTimeout(this.#timer)
      this.#scope.end()
      delivery.isAsking = false
    }
  }

  async #send(options: AttemptOptions): Promise<Verdict> {
    const { endpoint, isNewId, highestSeq } = this.#settings
    const { batch } = this.#delivery
    const { signal } = this.#scope
    const { begunAtMs } = this.#delivery
    if (begunAtMs !== undefined) this.#startClock(begunAtMs)
    const waitMs = options.notBeforeMs - Date.now()
    if (waitMs > 0) await sleep(waitMs, signal)
    // A header function that hangs uses up the delivery's time as well.
    if (begunAtMs === undefined) this.#startClock((this.#delivery.begunAtMs = Date.now()))
    const release = takeKeepalive(batch.body.byteLength)
    try {
      const request = this.#request(options, release !== undefined)
      const answer = await exchange(endpoint, request, signal)
      const verdict = verdictOfAnswer(answer, {
        url: endpoint.url,
        number: options.number,
        highestSeq: highestSeq(),
        closesStream: batch.closesStream,
        tries: this.#delivery.tries,
        isNewId,
      })
      if (
        verdict.kind === "fenced" &&
        verdict.isDoubtful === true &&
        resendsRequests(endpoint.fetch)
      ) {
        return await this.#lookAgain(verdict, options.number)
      }
      // An answer that is not the server's says nothing about what the server did.
      if (verdict.kind === "fatal") this.#delivery.inDoubt = true
      return verdict
    } finally {
      release?.()
    }
  }

  /** The first batch of an epoch is there, whoever sent it. A stream that has not grown does not have this one. */
  async #lookAgain(fenced: Fenced, { epoch }: BatchNumber): Promise<Verdict> {
    const { endpoint, epoch: firstEpoch, tailBefore } = this.#settings
    // What was known before the first epoch says nothing about a later one, which others may have been at work before.
    const before = epoch === firstEpoch ? tailBefore() : ""
    const now = before === "" ? "" : await askForTail(endpoint, this.#scope.signal)
    if (now === "") {
      this.#delivery.inDoubt = true
      return fenced
    }
    if (now === before) return { ...fenced, isDoubtful: false }
    return { kind: "acknowledged", result: { offset: "", duplicate: true } }
  }

  #verdictOf(error: unknown): Verdict {
    const { closesStream, count } = this.#delivery.batch
    // Closed is what was wanted, whoever did it; only a last message would be lost.
    if (error instanceof StreamClosedError && closesStream && count === 0) {
      const result = { offset: error.finalOffset ?? "", duplicate: true }
      return { kind: "acknowledged", result }
    }
    return verdictOfError(error)
  }

  #request({ number, persists, onBackoff }: AttemptOptions, keepalive: boolean): StreamRequest {
    const { batch } = this.#delivery
    const { producerId, contentType } = this.#settings
    return {
      method: "POST",
      operation: batch.closesStream ? "close" : "append",
      retry: persists ? "idempotent" : "never",
      headers: headersOf(batch, number, producerId, contentType),
      ...(batch.count > 0 && { body: batch.body }),
      keepalive,
      observer: {
        onRequest: () => {
          this.#delivery.isAsking = true
          this.#delivery.tries++
        },
        onRetry: ({ error, delayMs }: RetryNotice) => {
          this.#lastError = error
          this.#delivery.noteFailure(error)
          if (this.#remainingMs(this.#delivery.begunAtMs ?? 0) <= 0) this.#scope.abort(EXPIRED)
          else if (!onBackoff(delayMs)) this.#scope.abort(CALLED_OFF)
        },
      },
    }
  }

  #startClock(begunAtMs: number): void {
    const remainingMs = this.#remainingMs(begunAtMs)
    if (remainingMs <= 0) this.#scope.abort(EXPIRED)
    // A timer cannot wait for longer; the check before each retry can.
    else if (remainingMs <= MAX_TIMER_MS) {
      this.#timer = setTimeout(() => {
        this.#scope.abort(EXPIRED)
      }, remainingMs)
    }
  }

  #remainingMs(begunAtMs: number): number {
    return begunAtMs + this.#settings.deliveryTimeoutMs - Date.now()
  }

  #expiredError(): FetchError {
    const { endpoint, deliveryTimeoutMs } = this.#settings
    const stream = describeUrl(endpoint.url)
    const why = this.#lastError === undefined ? "" : ` The last attempt: ${this.#lastError.message}`
    return new FetchError(
      0,
      undefined,
      undefined,
      {},
      stream,
      `A batch for ${stream} was not acknowledged within ${deliveryTimeoutMs} ms (deliveryTimeoutMs).${why}`,
      { code: "TIMEOUT", cause: this.#lastError, indeterminate: this.#delivery.inDoubt },
    )
  }
}

function headersOf(
  batch: Batch,
  { epoch, seq }: BatchNumber,
  producerId: string,
  contentType: () => string,
): Record<string, string> {
  return {
    ...(batch.count > 0 && { [CONTENT_TYPE_HEADER]: contentType() }),
    ...(batch.closesStream && { [STREAM_CLOSED_HEADER]: "true" }),
    [PRODUCER_ID_HEADER]: producerId,
    [PRODUCER_EPOCH_HEADER]: String(epoch),
    [PRODUCER_SEQ_HEADER]: String(seq),
  }
}
