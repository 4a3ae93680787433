import { checkDuration, checkFunction } from "../http/option-checks.ts"
import { callObserver } from "../http/call-observer.ts"
import { failureOf } from "../http/failure.ts"
import { Claim, leaseTime } from "./claim.ts"
import { workOn, type FailedBatches } from "./claim-work.ts"
import { DEFAULT_LEASE_MS } from "./subscription.ts"
import { SubscriptionError } from "./subscription-error.ts"
import { StreamRoot, type SubscriptionsOptions } from "./subscriptions-request.ts"
import { createVerifier, type VerifyWebhookOptions, type Wake } from "./verify-webhook.ts"
import {
  checkHandler,
  type AnyHandler,
  type BatchTypes,
  type HandlerOptions,
  type WorkerEvent,
} from "./worker-options.ts"

/** The options of {@link webhookHandler}. */
export interface WebhookHandlerOptions<T, As extends keyof BatchTypes<T> = "json">
  extends HandlerOptions<T, As>, SubscriptionsOptions, VerifyWebhookOptions {
  /**
   * Keeps the platform alive for work behind the response (workerd's `ctx.waitUntil`). Without it the response waits for the work.
   */
  waitUntil?: ((work: Promise<void>) => void) | undefined
  /**
   * After this the handler begins no further batch, acknowledges and ends the wake; the server wakes again for the rest. In
   * milliseconds.
   *
   * @default 25_000
   */
  maxDurationMs?: number | undefined
  /** The subscription's lease, in milliseconds, if it is not the server's default. @default 30_000 */
  leaseTtlMs?: number | undefined
  /** Called with each failure: of a handler, of a callback. */
  onError?: ((error: unknown) => void) | undefined
  /** Called with what the handler does. */
  observe?: ((event: WorkerEvent) => void) | undefined
}

/**
 * Receives the wakes of a webhook subscription, for every server that speaks Fetch: verifies the signature, handles what is
 * pending as a worker does, and ends the wake by its callback. Delivery is at least once, as a worker's is.
 *
 * Responds 401 to what is not a wake of this subscription, 503 if the keys are not available, 204 otherwise; 500 if nothing could be
 * acknowledged, so that the server tries again.
 *
 * @example
 * ```ts no-run
 * // Runs in a server that receives webhooks.
 * import { webhookHandler } from "@durable-streams/client/subscriptions"
 *
 * export const POST = webhookHandler<{ sku: string }>({
 *   root: "https://streams.example.com/v1/stream",
 *   subscription: "orders",
 *   onBatch: (batch, { path }) => console.log(path, batch.items.length),
 * })
 * ```
 * @throws DurableStreamError `BAD_REQUEST` that names the option
 */
export function webhookHandler<T = unknown, As extends keyof BatchTypes<T> = "json">(
  options: WebhookHandlerOptions<T, As>,
): (request: Request) => Promise<Response> {
  const {
    subscription,
    jwksUrl,
    fetch,
    waitUntil,
    maxDurationMs = 25_000,
    leaseTtlMs = DEFAULT_LEASE_MS,
  } = options
  const verify = createVerifier({ root: options.root, subscription, jwksUrl, fetch })
  const receiver = new WebhookReceiver(checkHandler(options), options, {
    maxClaimMs: checkDuration("maxDurationMs", maxDurationMs),
    leaseTtlMs: checkDuration("leaseTtlMs", leaseTtlMs),
  })
  checkFunction("waitUntil", waitUntil)
  return async (request) => {
    const verification = await verify(request)
    if (verification.kind === "rejected") return new Response(null, { status: 401 })
    if (verification.kind === "unavailable") return new Response(null, { status: 503 })
    const work = receiver.receive(verification.wake)
    if (waitUntil === undefined) return new Response(null, { status: (await work) ? 204 : 500 })
    waitUntil(work.then(() => undefined))
    return new Response(null, { status: 204 })
  }
}

/**
 * Handles wakes. The response never says `done`: the server would apply a late one to the wake that is current by then, and
 * acknowledge what nobody has handled. The callback is fenced by its generation.
 */
class WebhookReceiver {
  readonly #root: StreamRoot
  readonly #handler: AnyHandler
  readonly #limits: { readonly maxClaimMs: number; readonly leaseTtlMs: number }
  readonly #observe: (event: WorkerEvent) => void
  readonly #onError: (error: unknown) => void
  /** Wakes by their ids: a redelivery does not start what is running here. */
  readonly #running = new Map<string, Promise<boolean>>()
  readonly #failed: FailedBatches = new Map()

  constructor(
    handler: AnyHandler,
    options: SubscriptionsOptions & Pick<WebhookHandlerOptions<unknown>, "observe" | "onError">,
    limits: { readonly maxClaimMs: number; readonly leaseTtlMs: number },
  ) {
    const {
      root,
      headers,
      params,
      fetch,
      signal,
      backoffOptions,
      requestTimeoutMs,
      observe,
      onError,
    } = options
    checkFunction("observe", observe)
    checkFunction("onError", onError)
    this.#root = new StreamRoot({
      root,
      headers,
      params,
      fetch,
      signal,
      backoffOptions,
      requestTimeoutMs,
    })
    this.#handler = handler
    this.#limits = limits
    this.#observe = (event) => callObserver("observe", () => observe?.(event))
    this.#onError = (error) => callObserver("onError", () => onError?.(error))
  }

  /** @returns whether the wake was dealt with: handled, or not this request's to handle */
  receive(wake: Wake): Promise<boolean> {
    const id = `${wake.wakeId} ${wake.generation}`
    const running =
      this.#running.get(id) ?? this.#work(wake).finally(() => this.#running.delete(id))
    this.#running.set(id, running)
    return running
  }

  async #work({
    subscriptionId,
    wakeId,
    generation,
    callbackToken,
    streams,
  }: Wake): Promise<boolean> {
    const never = new AbortController().signal
    const { leaseTtlMs, maxClaimMs } = this.#limits
    const claim = new Claim({
      root: this.#root,
      subscriptionId,
      wakeId,
      generation,
      token: callbackToken,
      streams,
      leaseTtlMs,
      sentAt: leaseTime(),
      route: "callback",
    })
    try {
      // A wake that was replayed, or is over, is fenced here, before any work.
      await claim.heartbeat()
      const pending = streams.filter(({ hasPending }) => hasPending)
      this.#observe({ kind: "claimed", generation, paths: pending.map(({ path }) => path) })
      const result = await workOn(claim, {
        root: this.#root,
        handler: this.#handler,
        failed: this.#failed,
        observe: this.#observe,
        onError: this.#onError,
        draining: never,
        stopping: never,
        maxClaimMs,
      })
      return result !== undefined
    } catch (error) {
      if (error instanceof SubscriptionError && error.code === "FENCED") return true
      this.#onError(error)
      return failureOf(error) === undefined
    }
  }
}
