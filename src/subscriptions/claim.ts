import { raceAbort } from "../http/abort.ts"
import { Deadline } from "../http/deadline.ts"
import { failureOf } from "../http/failure.ts"
import { monotonicMs } from "../platform/clock.ts"
import { errorOfServer, notSupported, SubscriptionError } from "./subscription-error.ts"
import type { RootResponse, StreamRoot } from "./subscriptions-request.ts"
import {
  isJsonObject,
  type Ack,
  type ClaimedStream,
  type JsonObject,
  type RejectedAck,
} from "./subscription.ts"

/** What an acknowledgement came to. */
export interface AckResult {
  /** Whether more work is pending and the server has written another wake event. Only after `done`. */
  nextWake: boolean
  /** The acknowledgements that the server rejected (`INVALID_OFFSET`); the others are stored. */
  rejected: RejectedAck[]
}

/** What a {@link Claim} is made of: what the server granted, and where it takes acknowledgements. */
export interface Lease {
  readonly root: StreamRoot
  readonly subscriptionId: string
  readonly wakeId: string
  readonly generation: number
  readonly token: string
  readonly streams: ClaimedStream[]
  readonly leaseTtlMs: number
  /** When the request that began the lease was sent. */
  readonly sentAt: LeaseTime
  /** The route that takes acknowledgements. */
  readonly route: "ack" | "callback"
}

/**
 * A point in time on both clocks. The monotonic clock may stand still while a machine sleeps, and the wall clock may be
 * set back: a lease is over as soon as either says so.
 */
export interface LeaseTime {
  readonly monotonicMs: number
  readonly wallMs: number
}

/** The time now. */
export function leaseTime(): LeaseTime {
  return { monotonicMs: monotonicMs(), wallMs: Date.now() }
}

/** One request about the claim, and the callers that wait for it. */
interface PendingAck {
  readonly offsets: Map<string, string>
  isDone: boolean
  readonly promise: Promise<AckResult>
  readonly resolve: (result: AckResult) => void
  readonly reject: (error: unknown) => void
}

/**
 * The right to work on a subscription, for one worker at a time.
 *
 * 1. Heartbeats go out by themselves, at a third of the lease after the last request that extended it.
 * 2. One request is under way at a time. What is acknowledged meanwhile goes out together, in the next one.
 * 3. The lease counts from when the extending request was sent. Once it has expired, or the server fenced the claim,
 *    `signal` is aborted and every further call rejects with `FENCED`: another worker may hold the subscription.
 */
export class Claim {
  /** Distinguishes a claim from the report of a holder. */
  readonly kind = "claimed"
  readonly subscriptionId: string
  readonly wakeId: string
  /** Increases with each claim of the subscription. */
  readonly generation: number
  /** Every stream of the subscription, with or without work. */
  readonly streams: readonly ClaimedStream[]
  readonly leaseTtlMs: number
  readonly #lease: Lease
  readonly #abort = new AbortController()
  #extendedAt: LeaseTime
  #heartbeatTimer: ReturnType<typeof setTimeout> | undefined
  #expiryTimer: ReturnType<typeof setTimeout> | undefined
  #next: PendingAck | undefined
  #sending: Promise<void> | undefined
  #ended: "done" | "released" | "lost" | undefined
  /** The response to a `done` was lost: what the server fences from then on has ended. */
  #mayBeDone = false
  #error: unknown

  /**
   * Claims come from `Subscriptions.claim`.
   *
   * @internal
   */
  constructor(lease: Lease) {
    this.#lease = lease
    this.subscriptionId = lease.subscriptionId
    this.wakeId = lease.wakeId
    this.generation = lease.generation
    this.streams = lease.streams
    this.leaseTtlMs = lease.leaseTtlMs
    this.#extendedAt = lease.sentAt
    this.#schedule()
  }

  /** Aborted once the claim has ended: its work must stop. The reason is the error that ended it, if one did. */
  get signal(): AbortSignal {
    return this.#abort.signal
  }

  /** Whether the claim is still the caller's, as far as the clocks tell. */
  get isHeld(): boolean {
    this.#checkLease()
    return this.#ended === undefined
  }

  /**
   * Stores how far streams were handled, and extends the lease. With `done`, the claim ends as well.
   *
   * @param acks - the paths and the offsets behind the last batch handled; none is a heartbeat
   * @returns resolves once the server has stored them. Paths that it rejects are in `rejected`; the others are stored
   * @throws SubscriptionError `FENCED` if the claim is no longer the caller's; `TOKEN_EXPIRED`. Failures of the network are
   *   retried for as long as the lease lasts
   */
  ack(acks: readonly Ack[] = [], options: { done?: boolean | undefined } = {}): Promise<AckResult> {
    this.#checkLease()
    if (this.#ended === "done" && this.#mayBeDone && options.done === true) {
      return Promise.resolve({ nextWake: false, rejected: [] })
    }
    if (this.#ended !== undefined) return Promise.reject(this.#endedError())
    const pending = (this.#next ??= newPendingAck())
    for (const { path, offset } of acks) pending.offsets.set(path, offset)
    pending.isDone ||= options.done === true
    this.#sending ??= this.#sendAll()
    return pending.promise
  }

  /** Extends the lease. @throws as {@link Claim.ack} */
  async heartbeat(): Promise<void> {
    await this.ack()
  }

  /**
   * Ends the claim without an acknowledgement: the server wakes another worker if work is pending. Resolves also if the claim
   * has ended already. Acknowledgements that are under way are sent before.
   *
   * @param options - `timeoutMs`: how long it may take; default for as long as the lease lasts. Then the lease expires by itself
   */
  async release({ timeoutMs = Infinity }: { timeoutMs?: number | undefined } = {}): Promise<void> {
    const limit = new Deadline(undefined, timeoutMs, tooLate)
    await raceAbort(this.#sending ?? Promise.resolve(), limit.signal).catch(() => undefined)
    const lease = new Deadline(limit.signal, this.#leftMs(), tooLate)
    let response: RootResponse | undefined
    if (this.isHeld) {
      this.#end("released")
      // A release that is lost costs the others the rest of the lease, and nothing else.
      response = await this.#request("release", {}, lease.signal).catch(() => undefined)
    }
    lease.end()
    limit.end()
    if (response?.error === undefined || response.error.code === "FENCED") return
    throw this.#errorOf(response)
  }

  /**
   * Stops the heartbeats: the lease expires by itself, and the server wakes again.
   *
   * @internal
   */
  abandon(): void {
    this.#end("released")
  }

  /** Releases the claim unless it has ended. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.release()
  }

  /** Never fails: the callers that wait for an acknowledgement get its error. */
  async #sendAll(): Promise<void> {
    for (let ack = this.#next; ack !== undefined; ack = this.#next) {
      this.#next = undefined
      await this.#send(ack).then(ack.resolve, ack.reject)
    }
    this.#sending = undefined
  }

  async #send(ack: PendingAck): Promise<AckResult> {
    const acks = Array.from(ack.offsets, ([path, offset]) => ({ path, offset }))
    const response = await this.#call(acks, ack.isDone)
    if (response.error?.code !== "INVALID_OFFSET" || acks.length === 0) {
      return this.#settle(response, ack.isDone)
    }
    // One path fails all acks of the call, and its heartbeat: extend the lease first, then find the path.
    this.#settle(await this.#call([], false), false)
    const rejected: RejectedAck[] = []
    for (const single of acks) {
      const one = acks.length > 1 ? await this.#call([single], false) : response
      if (one.error?.code === "INVALID_OFFSET") {
        rejected.push({ ...single, reason: one.error.message })
      } else this.#settle(one, false)
    }
    if (!ack.isDone) return { nextWake: false, rejected }
    return { ...this.#settle(await this.#call([], true), true), rejected }
  }

  /** What a response to an acknowledgement means for the claim. */
  #settle(response: RootResponse, isDone: boolean): AckResult {
    const { error, isRepeated } = response
    if (isStored(response)) {
      if (isDone) this.#end("done")
      return { nextWake: response.json["next_wake"] === true, rejected: [] }
    }
    this.#mayBeDone ||= isDone && isRepeated
    if (this.#mayBeDone && error?.code === "FENCED") {
      this.#end("done")
      return { nextWake: false, rejected: [] }
    }
    const failure = this.#errorOf(response)
    if (error !== undefined && endingCodes.includes(error.code)) this.#end("lost", failure)
    throw failure
  }

  async #call(acks: readonly Ack[], isDone: boolean): Promise<RootResponse> {
    this.#checkLease()
    if (this.#ended !== undefined) throw this.#endedError()
    const sentAt = leaseTime()
    const response = await this.#request(
      this.#lease.route,
      {
        acks: acks.map(({ path, offset }) => ({ stream: path, offset })),
        ...(isDone && { done: true }),
      },
      this.signal,
    ).catch((error: unknown) => {
      this.#mayBeDone ||= isDone && failureOf(error)?.effect === "unknown"
      // The lease's end ends the request.
      throw this.#ended === undefined ? error : this.#endedError()
    })
    // A retry extends the lease later than the first attempt: the earlier time is the safe one.
    if (isStored(response)) this.#extend(sentAt)
    return response
  }

  #request(
    route: "ack" | "callback" | "release",
    body: JsonObject,
    signal: AbortSignal,
  ): Promise<RootResponse> {
    const { root, subscriptionId, wakeId, generation, token, leaseTtlMs } = this.#lease
    return root.request({
      method: "POST",
      path: ["subscriptions", subscriptionId, route],
      // Repeating an acknowledgement stores the same offset.
      retry: "idempotent",
      body: { wake_id: wakeId, generation, ...body },
      token,
      timeoutMs: leaseTtlMs / 3,
      signal,
      // A machine that slept between two attempts has lost its lease before its timers say so.
      beforeAttempt: () => this.#checkLease(),
    })
  }

  #extend(at: LeaseTime): void {
    this.#extendedAt = at
    if (this.#ended === undefined) this.#schedule()
  }

  /** Timers may be late, or early on a clock that stood still: each looks at both clocks. */
  #schedule(): void {
    clearTimeout(this.#heartbeatTimer)
    clearTimeout(this.#expiryTimer)
    const leftMs = this.#leftMs()
    const onExpiry = () => {
      this.#checkLease()
      if (this.#ended === undefined) this.#schedule()
    }
    this.#expiryTimer = setTimeout(onExpiry, Math.max(0, leftMs))
    const onHeartbeat = () => {
      // Its failure reaches the calls that follow, and the signal once the lease is over.
      this.heartbeat().catch(() => {
        if (this.#ended === undefined) this.#schedule()
      })
    }
    // One that failed is sent again soon, but does not flood the server.
    const retryMs = Math.max(this.leaseTtlMs / 30, 100)
    const untilHeartbeatMs = leftMs - (2 / 3) * this.leaseTtlMs
    this.#heartbeatTimer = setTimeout(onHeartbeat, Math.max(retryMs, untilHeartbeatMs))
  }

  #leftMs(): number {
    const now = leaseTime()
    const elapsedMs = Math.max(
      now.monotonicMs - this.#extendedAt.monotonicMs,
      now.wallMs - this.#extendedAt.wallMs,
    )
    return this.leaseTtlMs - elapsedMs
  }

  #checkLease(): void {
    if (this.#ended !== undefined || this.#leftMs() > 0) return
    this.#end(
      "lost",
      new SubscriptionError(
        `${this.#subject()}: the lease of ${this.leaseTtlMs} ms expired without a heartbeat; another worker may hold the subscription`,
        "FENCED",
      ),
    )
  }

  #end(how: "done" | "released" | "lost", error?: SubscriptionError): void {
    if (this.#ended !== undefined) return
    this.#ended = how
    this.#error = error
    clearTimeout(this.#heartbeatTimer)
    clearTimeout(this.#expiryTimer)
    this.#abort.abort(error)
  }

  #endedError(): unknown {
    return (
      this.#error ??
      new SubscriptionError(
        `${this.#subject()}: the claim has ended (${this.#ended ?? "done"})`,
        "FENCED",
      )
    )
  }

  #errorOf({ status, error }: RootResponse): SubscriptionError {
    const subject = this.#subject()
    return error === undefined
      ? notSupported(subject, status)
      : errorOfServer(subject, status, error)
  }

  #subject(): string {
    return `Claim of subscription ${this.subscriptionId} at ${this.#lease.root.name}`
  }
}

const tooLate = () => new Error("it took too long")

/** After these nothing that is sent with the claim's token can succeed. */
const endingCodes: readonly string[] = [
  "FENCED",
  "TOKEN_INVALID",
  "TOKEN_EXPIRED",
  "SUBSCRIPTION_NOT_FOUND",
]

/** Whether the server stored an acknowledgement. The page of a proxy extends no lease. */
function isStored(response: RootResponse): response is RootResponse & { json: JsonObject } {
  const { error, json } = response
  return error === undefined && isJsonObject(json) && json["ok"] === true
}

function newPendingAck(): PendingAck {
  let resolve: (result: AckResult) => void = () => undefined
  let reject: (error: unknown) => void = () => undefined
  const promise = new Promise<AckResult>((onResolve, onReject) => {
    resolve = onResolve
    reject = onReject
  })
  return { offsets: new Map(), isDone: false, promise, resolve, reject }
}
