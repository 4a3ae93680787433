import type { FaultPlan } from "./faults.ts"
import { pumpBody } from "./body.ts"
import type { ModelResponse, ModelClock } from "../../../src/testing/messages.ts"
import type { RequestRecord } from "./request-record.ts"
import { TrackedBody } from "../tracked-body.ts"

const BODILESS = new Set([204, 205, 304])

/** One request under way: from the call to the end of its body, with the abort semantics of `fetch`. */
export class Exchange {
  readonly record: RequestRecord
  readonly plan: FaultPlan
  readonly #clock: ModelClock
  readonly #signal: AbortSignal | undefined
  readonly #resolve: (response: Response) => void
  readonly #reject: (error: unknown) => void
  #body: TrackedBody | undefined
  #stopBody: () => void = () => undefined
  #hanging = false
  #over = false
  #abandoned = false
  #onOver: () => void = () => undefined

  constructor(fields: {
    record: RequestRecord
    plan: FaultPlan
    signal: AbortSignal | undefined
    clock: ModelClock
    resolve: (response: Response) => void
    reject: (error: unknown) => void
  }) {
    this.record = fields.record
    this.plan = fields.plan
    this.#clock = fields.clock
    this.#signal = fields.signal
    this.#resolve = fields.resolve
    this.#reject = fields.reject
    this.#signal?.addEventListener("abort", this.#onAbort)
  }

  whenOver(callback: () => void): void {
    this.#onOver = callback
  }

  /** The request travels to the server; false if it does not arrive there. */
  async travelThere(): Promise<boolean> {
    await this.#wait(this.plan.thereMs)
    const isGone = this.#abandoned || (this.record.aborted && this.plan.survivesAbort)
    return isGone || (!this.#over && !this.#hanging)
  }

  /** The response travels back; false if nothing waits for it any more. */
  async travelBack(): Promise<boolean> {
    await this.#wait(this.plan.backMs)
    return !this.#over && !this.#hanging
  }

  /** The client's process has died: nothing is settled any more, but a request on its way may still arrive. */
  abandon(): void {
    this.#abandoned = true
    this.record.aborted = true
    this.#body?.fail(new TypeError("terminated"))
    this.#finish()
  }

  /** No response, ever. Whether an abort is noticed is the plan's choice. */
  hang(): void {
    this.#hanging = true
  }

  /** Whatever was on its way never arrives. */
  stall(): void {
    this.#hanging = true
    this.#stopBody()
  }

  /** The connection breaks, before the headers or in the body. */
  fail(error: unknown): void {
    if (this.#over || this.#hanging) return
    if (this.#body) return this.#body.fail(error)
    this.record.outcome = "failed"
    this.#finish()
    this.#reject(error)
  }

  respond(response: ModelResponse): void {
    if (this.#over || this.#hanging) return
    this.record.outcome = "responded"
    this.record.status = response.status
    const { status, headers } = response
    // A HEAD response has no body, whatever its headers say.
    if (response.body.kind === "none" || this.record.method === "HEAD" || BODILESS.has(status)) {
      this.#finish()
      return this.#resolve(this.#fromNetwork(new Response(null, { status, headers })))
    }
    this.#hanging = this.plan.fault === "hang-in-body" || this.plan.fault === "sse-silent"
    const body = new TrackedBody((state) => {
      this.record.body = state
      this.record.readBytes = body.readBytes
      this.#stopBody()
      this.#finish()
    })
    this.#body = body
    this.record.body = body.state
    this.#resolve(this.#fromNetwork(new Response(body.stream, { status, headers })))
    this.#stopBody = pumpBody(response.body, body, this.plan, this.#clock)
    if (this.#over) this.#stopBody()
  }

  readonly #onAbort = (): void => {
    if (this.#over) return
    this.record.aborted = true
    if (this.#hanging && this.plan.ignoresAbort) return this.#finish()
    const reason: unknown = this.#signal?.reason
    if (this.#body) return this.#body.fail(reason)
    this.record.outcome = "aborted"
    this.#finish()
    this.#reject(reason)
  }

  /** What tells a response of the network from one that a program made. */
  #fromNetwork(response: Response): Response {
    if (this.plan.fault === "rebuilt") return response
    return Object.defineProperties(response, {
      url: { value: this.record.url },
      type: { value: "basic" },
    })
  }

  async #wait(delayMs: number): Promise<void> {
    if (delayMs > 0) await new Promise<void>((resolve) => this.#clock.after(delayMs, resolve))
  }

  #finish(): void {
    if (this.#over) return
    this.#over = true
    this.#signal?.removeEventListener("abort", this.#onAbort)
    this.#stopBody()
    this.#onOver()
  }
}
