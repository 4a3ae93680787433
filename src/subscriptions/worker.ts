import { DurableStreamError } from "../errors/durable-stream-error.ts"
import { FetchBackoffAbortError } from "../errors/fetch-backoff-abort-error.ts"
import { LinkedAbortController, MAX_TIMER_MS, onAbort, sleep } from "../http/abort.ts"
import { backoffDelayMs, resolveBackoff } from "../http/backoff.ts"
import { checkSignal, createEndpoint } from "../http/endpoint.ts"
import { checkFunction } from "../http/option-checks.ts"
import { failureOf } from "../http/failure.ts"
import { headStream } from "../http/stream-head.ts"
import { callObserver } from "../platform/console.ts"
import { isJsonContentType } from "../protocol/content-type.ts"
import { stream } from "../stream.ts"
import type { Claim } from "./claim.ts"
import { PoisonStop, workOn, type FailedBatches } from "./claim-work.ts"
import { SubscriptionError } from "./subscription-error.ts"
import { isJsonObject, type Subscription } from "./subscription.ts"
import { workerName, type CurrentHolder, type Subscriptions } from "./subscriptions.ts"
import {
  checkHandler,
  stopTimeoutOf,
  type AnyHandler,
  type BatchTypes,
  type WorkerEvent,
  type WorkerOptions,
} from "./worker-options.ts"

/** A worker tries to claim after this, in milliseconds, although no event came: an event can be lost. */
const MIN_POLL_MS = 30_000

/**
 * The random moment that a worker waits after an event, in milliseconds: it grows fourfold with each race that the worker
 * loses, and halves with each that it wins. Of hundreds of workers a few are fast, and the others claim one by one.
 */
const MIN_SPREAD_MS = 1
const MAX_SPREAD_MS = 5_000

/** A worker that stops waits this long for the response to its claim: without it nobody has the lease until it expires. */
const CLAIM_GRACE_MS = 1_000

/** Half of the hour for which the reference server's tokens are valid. */
const MAX_CLAIM_MS = 1_800_000

/** A running worker: see {@link runWorker}. */
export interface Worker {
  /** The name under which it claims: with its process's suffix. */
  readonly name: string
  /**
   * Stops: no new claim; the batch that is being handled is finished and acknowledged, within `stopTimeoutMs`, and the claim
   * released. Resolves once that is done.
   */
  stop(): Promise<void>
  /**
   * Resolves once the worker has stopped. Rejects if it cannot work: no such subscription, a wake stream that is missing or not
   * JSON, `onPoison` said stop. Raises no unhandled rejection.
   */
  readonly done: Promise<void>
  /** Stops. */
  [Symbol.asyncDispose](): Promise<void>
}

/**
 * Works on a pull-wake subscription until it is stopped: waits for wakes, claims, handles what is pending, acknowledges. Start
 * as many as you like, anywhere: one of them at a time holds the subscription.
 *
 * Delivery is at least once, and a batch can even be handled twice at the same time (a machine that slept). To count each
 * message once, compare `startOffset` with the offset that your own transaction stores: {@link sqliteOffsets} does.
 *
 * @example
 * ```ts no-run
 * // Needs a server with subscriptions.
 * import { runWorker, Subscriptions } from "@durable-streams/client/subscriptions"
 *
 * const subscriptions = new Subscriptions({ root: "https://streams.example.com/v1/stream" })
 * const worker = runWorker<{ sku: string }>(subscriptions, "orders", {
 *   worker: "packer",
 *   onBatch: (batch, { path }) => {
 *     for (const order of batch.items) console.log(path, order.sku)
 *   },
 * })
 * process.once("SIGTERM", () => void worker.stop())
 * await worker.done
 * ```
 * @throws DurableStreamError `BAD_REQUEST` that names the option
 */
export function runWorker<T = unknown, As extends keyof BatchTypes<T> = "json">(
  subscriptions: Subscriptions,
  id: string,
  options: WorkerOptions<T, As>,
): Worker {
  return new SubscriptionWorker(subscriptions, id, checkHandler(options), options)
}

class SubscriptionWorker implements Worker {
  readonly name: string
  readonly done: Promise<void>
  readonly #subscriptions: Subscriptions
  readonly #id: string
  readonly #worker: string
  readonly #handler: AnyHandler
  readonly #observe: (event: WorkerEvent) => void
  readonly #onError: (error: unknown) => void
  readonly #stopTimeoutMs: number
  readonly #draining = new AbortController()
  readonly #stopping = new AbortController()
  readonly #failed: FailedBatches = new Map()
  readonly #claimBackoff = resolveBackoff({
    initialDelay: 500,
    maxDelay: MIN_POLL_MS,
    multiplier: 2,
  })
  #notify: (() => void) | undefined
  #isWoken = false
  #spreadMs = 20

  constructor(
    subscriptions: Subscriptions,
    id: string,
    handler: AnyHandler,
    options: Pick<
      WorkerOptions<unknown>,
      "worker" | "observe" | "onError" | "signal" | "stopTimeoutMs"
    >,
  ) {
    const { worker, observe, onError, signal } = options
    checkFunction("observe", observe)
    checkFunction("onError", onError)
    checkSignal(signal)
    this.name = workerName(worker)
    this.#worker = worker
    this.#subscriptions = subscriptions
    this.#id = id
    this.#handler = handler
    this.#stopTimeoutMs = stopTimeoutOf(options)
    this.#observe = (event) => callObserver("observe", () => observe?.(event))
    this.#onError = (error) => callObserver("onError", () => onError?.(error))
    const unfollow = signal && onAbort(signal, () => this.#drain())
    if (signal?.aborted === true) this.#drain()
    this.done = this.#run().finally(() => unfollow?.())
    this.done.catch(() => undefined)
  }

  async stop(): Promise<void> {
    this.#drain()
    await this.done
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }

  get #isDraining(): boolean {
    return this.#draining.signal.aborted
  }

  #drain(): void {
    this.#draining.abort()
    this.#notify?.()
  }

  async #run(): Promise<void> {
    const { signal } = this.#draining
    const tail = new LinkedAbortController(signal)
    let timer: ReturnType<typeof setTimeout> | undefined
    const unfollow = onAbort(signal, () => {
      // Timers count in 32 bits.
      const timeoutMs = Math.min(this.#stopTimeoutMs, MAX_TIMER_MS)
      timer = setTimeout(() => this.#stopping.abort(), timeoutMs)
    })
    try {
      // The tail comes before the first claim: a wake between the two is seen as an event.
      const { leaseTtlMs, failure } = await this.#followWakes(tail.signal)
      const claiming = this.#claimAll(leaseTtlMs)
      await Promise.race([claiming, failure]).catch(async (error: unknown) => {
        this.#drain()
        await claiming.catch(() => undefined)
        throw error
      })
      this.#observe({ kind: "stopped" })
    } catch (error) {
      this.#observe({ kind: "stopped" })
      if (error instanceof FetchBackoffAbortError && signal.aborted) return
      throw error instanceof PoisonStop ? error.error : error
    } finally {
      clearTimeout(timer)
      unfollow()
      tail.abort()
    }
  }

  /** Tails the wake stream. `failure` rejects if that ends. */
  async #followWakes(
    signal: AbortSignal,
  ): Promise<{ leaseTtlMs: number; failure: Promise<never> }> {
    const subscription = await this.#subscriptions.get(this.#id, { signal })
    const path = wakeStreamOf(subscription)
    const options = { ...this.#subscriptions.root.streamOptions(path), signal }
    const head = await headStream(createEndpoint(options))
    if (!head.exists || !isJsonContentType(head.contentType)) {
      throw new DurableStreamError(
        `The wake stream ${path} of subscription ${this.#id} ${head.exists ? "is not JSON" : "does not exist"}. Create it with contentType "application/json".`,
        head.exists ? "CONTENT_TYPE_MISMATCH" : "NOT_FOUND",
      )
    }
    const response = await stream({
      ...options,
      ...(head.offset !== undefined && { offset: head.offset }),
      json: true,
      pauseWhenHidden: false,
      warnOnHttp: false,
    })
    response.subscribeJson(({ items }) => {
      if (items.some((item) => isWakeOf(item, this.#id))) this.#wake()
    })
    const failure = new Promise<never>((_resolve, reject) => {
      // While the worker drains, the end of this session is its own doing, and the running batch goes on.
      const fail = (error: unknown) => {
        if (!signal.aborted) reject(error)
      }
      const wasClosed = () => {
        fail(
          new DurableStreamError(
            `The wake stream ${path} of subscription ${this.#id} was closed.`,
            "STREAM_CLOSED",
          ),
        )
      }
      response.closed.then(wasClosed, fail)
    })
    failure.catch(() => undefined)
    return { leaseTtlMs: subscription.leaseTtlMs, failure }
  }

  async #claimAll(leaseTtlMs: number): Promise<void> {
    const { signal } = this.#draining
    let failures = 0
    // A worker that starts has missed the event of work that is pending.
    let isWoken = false
    while (!signal.aborted) {
      try {
        const waitMs = await this.#claimOnce(leaseTtlMs, isWoken)
        failures = 0
        isWoken = await this.#waitForWake(waitMs)
      } catch (error) {
        if (error instanceof PoisonStop || this.#isDraining || isFinal(error)) throw error
        this.#onError(error)
        await sleep(backoffDelayMs(this.#claimBackoff, ++failures, Math.random()), signal)
      }
    }
  }

  /** @returns how long to wait for an event before the next attempt, in milliseconds */
  async #claimOnce(leaseTtlMs: number, isWoken: boolean): Promise<number> {
    const pollMs = Math.max(leaseTtlMs, MIN_POLL_MS) * (1 + Math.random() / 4)
    const claim = await this.#claim()
    if (claim === undefined || claim.kind === "held") {
      // Others were faster. A worker that found nothing without an event has not lost a race.
      if (isWoken) this.#spreadMs = Math.min(this.#spreadMs * 4, MAX_SPREAD_MS)
      if (claim === undefined) {
        this.#observe({ kind: "no-work" })
        return pollMs
      }
      this.#observe({ kind: "held", currentHolder: claim.currentHolder })
      // The response to this process's own claim was lost, and its token with it: that lease ends by itself.
      return claim.isOwn ? leaseTtlMs * (1 + Math.random() / 10) : pollMs
    }
    this.#spreadMs = Math.max(this.#spreadMs / 2, MIN_SPREAD_MS)
    const { generation, streams } = claim
    const paths = streams.filter(({ hasPending }) => hasPending).map(({ path }) => path)
    this.#observe({ kind: "claimed", generation, paths })
    try {
      const nextWake = await workOn(claim, {
        root: this.#subscriptions.root,
        handler: this.#handler,
        failed: this.#failed,
        observe: this.#observe,
        onError: this.#onError,
        draining: this.#draining.signal,
        stopping: this.#stopping.signal,
        maxClaimMs: MAX_CLAIM_MS,
      })
      return nextWake ? 0 : pollMs
    } catch (error) {
      await claim.release().catch(this.#onError)
      throw error
    }
  }

  async #claim(): Promise<Claim | CurrentHolder | undefined> {
    const abort = new LinkedAbortController(this.#stopping.signal)
    let grace: ReturnType<typeof setTimeout> | undefined
    const unfollow = onAbort(this.#draining.signal, () => {
      grace = setTimeout(() => abort.abort(), CLAIM_GRACE_MS)
    })
    try {
      return await this.#subscriptions.claim(this.#id, {
        worker: this.#worker,
        signal: abort.signal,
      })
    } finally {
      clearTimeout(grace)
      unfollow()
      abort.end()
    }
  }

  #wake(): void {
    this.#isWoken = true
    this.#notify?.()
  }

  /**
   * Waits for an event, but not for longer. Then a random moment, so that workers do not all claim at once.
   *
   * @returns whether an event came
   */
  async #waitForWake(ms: number): Promise<boolean> {
    const { signal } = this.#draining
    if (!this.#isWoken && ms > 0) {
      await sleep(ms, signal, (wake) => {
        this.#notify = wake
        return () => (this.#notify = undefined)
      })
    }
    await sleep(this.#spreadMs * Math.random(), signal)
    const isWoken = this.#isWoken
    this.#isWoken = false
    return isWoken
  }
}

function wakeStreamOf({ id, type, wakeStream }: Subscription): string {
  if (type === "pull-wake" && wakeStream !== undefined) return wakeStream
  throw new DurableStreamError(
    `Subscription ${id} has the type ${type}: a worker needs "pull-wake", see webhookHandler for "webhook".`,
    "BAD_REQUEST",
  )
}

function isWakeOf(event: unknown, id: string): boolean {
  return isJsonObject(event) && event["type"] === "wake" && event["subscription_id"] === id
}

/** Whether no later claim can succeed. */
function isFinal(error: unknown): boolean {
  return (
    // A server that has responded as one of subscriptions does is one: this is a page of something in between.
    (error instanceof SubscriptionError && error.code !== "SUBSCRIPTIONS_NOT_SUPPORTED") ||
    // The signal of the Subscriptions.
    error instanceof FetchBackoffAbortError ||
    failureOf(error)?.retryable === false
  )
}
