import { DurableStreamError } from "../errors/durable-stream-error.ts"
import { Deadline } from "../http/deadline.ts"
import { checkDuration, checkFunction } from "../http/option-checks.ts"
import { callObserver } from "../platform/console.ts"
import { Claim, leaseTime } from "./claim.ts"
import { PoisonStop, workOn, type FailedBatches } from "./claim-work.ts"
import { SubscriptionError } from "./subscription-error.ts"
import { checkLeaseMs } from "./subscription.ts"
import { Subscriptions } from "./subscriptions.ts"
import type { SubscriptionsOptions } from "./subscriptions-request.ts"
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
   * Keeps the platform alive for work behind the response: in workerd `waitUntil` of `cloudflare:workers`. Without it the
   * response waits for the work.
   */
  waitUntil?: ((work: Promise<void>) => void) | undefined
  /**
   * After this the handler begins no further batch, acknowledges and ends the wake; the server wakes again for the rest. In
   * milliseconds.
   *
   * @default 25_000
   */
  maxDurationMs?: number | undefined
  /**
   * The subscription's lease, in milliseconds: a wake does not say how long it lasts.
   *
   * @default what the server says, in response to one GET
   */
  leaseTtlMs?: number | undefined
  /** Called with each failure: of a handler, of a callback. */
  onError?: ((error: unknown) => void) | undefined
  /** Called with what the handler does. */
  observe?: ((event: WorkerEvent) => void) | undefined
}

/**
 * Receives the wakes of a webhook subscription, for every server that supports Fetch: verifies the signature, handles what is
 * pending as a worker does, and ends the wake by its callback. Delivery is at least once, as a worker's is.
 *
 * Responds with 401 to what is not a wake of this subscription, with 503 if that cannot be verified now, and with 204 to a
 * wake that was dealt with; with 500 if nothing could be handled, so that the server tries again. Never rejects because of
 * a request.
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
  const handler = checkHandler(options)
  const { root, subscription, jwksUrl, fetch, waitUntil } = options
  const { maxDurationMs = 25_000, leaseTtlMs } = options
  checkFunction("waitUntil", waitUntil)
  checkLeaseMs(leaseTtlMs)
  const onError = checkFunction("onError", options.onError)
  const observe = checkFunction("observe", options.observe)
  const verify = createVerifier({ root, subscription, jwksUrl, fetch })
  const reportError = (error: unknown) => callObserver("onError", () => onError?.(error))
  const receiver = new WebhookReceiver({
    subscriptions: new Subscriptions(subscriptionsOptions(options)),
    handler,
    maxDurationMs: checkDuration("maxDurationMs", maxDurationMs),
    leaseTtlMs,
    observe: (event) => callObserver("observe", () => observe?.(event)),
    onError: reportError,
  })
  return async (request) => {
    const verification = await verify(request)
    if (verification.kind === "rejected") return new Response(null, { status: 401 })
    if (verification.kind === "unavailable") {
      reportError(verification.error)
      return new Response(null, { status: 503 })
    }
    const work = receiver.receive(verification.wake)
    try {
      waitUntil?.(work.then(() => undefined))
      if (waitUntil !== undefined) return new Response(null, { status: 204 })
    } catch (error) {
      // Hono has none outside of workers. Without it the platform stays alive for as long as the response takes.
      reportError(error)
    }
    return new Response(null, { status: (await work) ? 204 : 500 })
  }
}

const requestOptions: Readonly<Record<keyof SubscriptionsOptions, true>> = {
  root: true,
  headers: true,
  params: true,
  fetch: true,
  fetchOptions: true,
  signal: true,
  backoffOptions: true,
  requestTimeoutMs: true,
  warnOnRetry: true,
}

/** The others are not those of a request; `backoffOptions` is for both, requests and attempts. */
function subscriptionsOptions(options: SubscriptionsOptions): SubscriptionsOptions {
  const entries = Object.entries(options).filter(([name]) => name in requestOptions)
  // What is left has the names of these options, and their values.
  return Object.fromEntries(entries) as unknown as SubscriptionsOptions
}

const LEASE_TIMEOUT_MS = 10_000

interface ReceiverSettings {
  readonly subscriptions: Subscriptions
  readonly handler: AnyHandler
  readonly maxDurationMs: number
  readonly leaseTtlMs: number | undefined
  readonly observe: (event: WorkerEvent) => void
  readonly onError: (error: unknown) => void
}

/**
 * Handles wakes. The response never says `done`: the server would apply a late one to the wake that is current by then, and
 * acknowledge what no worker has handled. The callback is fenced by its generation.
 */
class WebhookReceiver {
  readonly #settings: ReceiverSettings
  /** Wakes by their ids: a redelivery does not start what is running here. */
  readonly #running = new Map<string, Promise<boolean>>()
  readonly #claims = new Set<Claim>()
  readonly #failed: FailedBatches = new Map()
  #leaseTtlMs: number | undefined

  constructor(settings: ReceiverSettings) {
    this.#settings = settings
    this.#leaseTtlMs = settings.leaseTtlMs
  }

  /** @returns whether the wake was dealt with: handled, or not this request's to handle */
  receive(wake: Wake): Promise<boolean> {
    const id = `${wake.wakeId} ${wake.generation}`
    const running =
      this.#running.get(id) ?? this.#work(wake).finally(() => this.#running.delete(id))
    this.#running.set(id, running)
    return running
  }

  async #work(wake: Wake): Promise<boolean> {
    const { handler, observe, onError, maxDurationMs, subscriptions } = this.#settings
    const { generation, streams } = wake
    let claim: Claim | undefined
    try {
      claim = await this.#claim(wake)
      // The server has ended the wakes before; a machine that slept may not know yet.
      for (const earlier of this.#claims) {
        if (earlier.generation >= generation) continue
        earlier.abandon()
        // Or its lease is shorter than it was.
        this.#leaseTtlMs = this.#settings.leaseTtlMs
      }
      this.#claims.add(claim)
      const paths = streams.filter(({ hasPending }) => hasPending).map(({ path }) => path)
      observe({ kind: "claimed", generation, paths })
      await workOn(claim, {
        root: subscriptions.root,
        handler,
        failed: this.#failed,
        observe,
        onError,
        maxClaimMs: maxDurationMs,
      })
      return true
    } catch (error) {
      // A wake that was replayed, or whose lease is over, is another's to handle.
      if (error instanceof SubscriptionError && error.code === "FENCED") return true
      // Without an end the server wakes again after its own delay, not at once.
      claim?.abandon()
      onError(error instanceof PoisonStop ? error.error : error)
      return false
    } finally {
      if (claim !== undefined) this.#claims.delete(claim)
    }
  }

  /** An empty callback comes before any work: it is fenced if the wake is over, and the lease counts from it. */
  async #claim({
    subscriptionId,
    wakeId,
    generation,
    callbackToken,
    streams,
  }: Wake): Promise<Claim> {
    const { subscriptions } = this.#settings
    const sentAt = leaseTime()
    const leaseTtlMs = (this.#leaseTtlMs ??= await this.#askLease(subscriptionId))
    const claim = new Claim({
      root: subscriptions.root,
      subscriptionId,
      wakeId,
      generation,
      token: callbackToken,
      streams,
      leaseTtlMs,
      sentAt,
      route: "callback",
    })
    await claim.heartbeat().catch((error: unknown) => {
      claim.abandon()
      throw error
    })
    return claim
  }

  /** Without a limit a server that is away would keep each of its wakes here. */
  async #askLease(id: string): Promise<number> {
    const { subscriptions } = this.#settings
    const reason = `The lease of subscription ${id} was not known within ${LEASE_TIMEOUT_MS} ms. Set leaseTtlMs.`
    const tooLate = () => new DurableStreamError(reason, "TIMEOUT")
    const limit = new Deadline(undefined, LEASE_TIMEOUT_MS, tooLate)
    try {
      return (await subscriptions.get(id, { signal: limit.signal })).leaseTtlMs
    } catch (error) {
      throw limit.timeout ?? error
    } finally {
      limit.end()
    }
  }
}
