import { FetchBackoffAbortError } from "../errors/fetch-backoff-abort-error.ts"
import { LinkedAbortController } from "../http/abort.ts"
import { callObserver } from "../http/call-observer.ts"
import { extendEndpoint, type Endpoint } from "../http/endpoint.ts"
import { describeUrl } from "../protocol/request-url.ts"
import { asError } from "./as-error.ts"
import { quiet } from "./deferred.ts"
import { holdMessage, isSameMessage, type HeldMessage } from "./message.ts"
import { MessageFlow } from "./message-flow.ts"
import {
  resolveProducerOptions,
  type IdempotentProducerOptions,
  type ProducerSettings,
} from "./producer-options.ts"
import type { IdempotentAppendResult } from "./receipts.ts"
import { endedError, type ProducerState, type StreamEnd } from "./producer-state.ts"

/** What a producer is made of. */
export interface ProducerCoreInput {
  readonly endpoint: Endpoint
  readonly producerId: string
  /** Whether nobody can have used the id before. Default false. */
  readonly isNewId?: boolean
  readonly options?: IdempotentProducerOptions | undefined
  /** The stream's content type, where somebody knows it. Asked before the first message, else the server is. */
  readonly contentType: () => string | undefined
}

/** What can be seen of a producer's messages. */
export type FlowView = Pick<
  MessageFlow,
  | "bufferedBytes"
  | "epoch"
  | "nextSeq"
  | "inFlightCount"
  | "pendingCount"
  | "indeterminateCount"
  | "lastOffset"
>

/** A producer: its life from the first message to its end. {@link MessageFlow} carries the messages. */
export class ProducerCore {
  readonly #settings: ProducerSettings
  readonly #stream: string
  readonly #scope: LinkedAbortController
  readonly #flow: MessageFlow
  #state: ProducerState = { kind: "open" }
  #restarting: Promise<void> | undefined

  /** @throws DurableStreamError `BAD_REQUEST` that names the option and the value */
  constructor(input: ProducerCoreInput) {
    const { endpoint, producerId, isNewId = false, options = {}, contentType } = input
    const settings = resolveProducerOptions(producerId, options)
    const { headers, fetch, backoffOptions } = options
    const extended = extendEndpoint(endpoint, {
      ...(headers !== undefined && { headers }),
      ...(fetch !== undefined && { fetch }),
      ...(backoffOptions !== undefined && { backoffOptions }),
    })
    this.#settings = settings
    this.#stream = describeUrl(endpoint.url)
    this.#scope = new LinkedAbortController(endpoint.signal, settings.signal)
    const { signal } = this.#scope
    this.#flow = new MessageFlow(
      { ...settings, endpoint: extended, isNewId, contentType, stopSignal: signal },
      {
        onLeftOut: (error) => {
          this.#report(error)
        },
        onFailed: (error) => {
          this.#fail(error)
        },
      },
    )
    const onAbort = () => {
      this.#fail(new FetchBackoffAbortError(signal.reason))
    }
    // First of all listeners, so that the requests that are out are known to be in doubt when the abort reaches them.
    signal.addEventListener("abort", onAbort, { once: true })
    // Not before the caller has the producer that onError may speak of.
    if (signal.aborted) queueMicrotask(onAbort)
  }

  get state(): ProducerState["kind"] {
    return this.#state.kind
  }

  get ready(): Promise<void> {
    return this.#flow.ready
  }

  /** The way of the messages, to be looked at. */
  get flow(): FlowView {
    return this.#flow
  }

  /** @throws what ended the producer, or DurableStreamError where the message cannot be queued */
  append(body: unknown): void {
    this.#checkOpen("append()")
    this.#flow.take(body)
  }

  /** Rejects, and does not throw, whatever is wrong. */
  send(body: unknown): Promise<IdempotentAppendResult> {
    try {
      this.#checkOpen("send()")
      this.#flow.take(body)
      return this.#flow.receipt()
    } catch (error) {
      return quiet(Promise.reject(asError(error)))
    }
  }

  flush(): Promise<void> {
    return quiet(this.#flow.flush())
  }

  /** @param last - stored together with the closure or not at all; undefined for none */
  close(last?: unknown): Promise<StreamEnd> {
    const state = this.#state
    try {
      const held = last === undefined ? undefined : holdMessage(last, this.#stream)
      if (state.kind === "closing" || state.kind === "closed") {
        if (held === undefined || isSameMessage(state.last, held)) return state.closed
        return this.#refuse("close() with another last message")
      }
      if (state.kind !== "open") return this.#refuse("close()")
      const closed = quiet(this.#close(held))
      this.#state = { kind: "closing", closed, last: held }
      return closed
    } catch (error) {
      return quiet(Promise.reject(asError(error)))
    }
  }

  detach(): Promise<void> {
    const state = this.#state
    switch (state.kind) {
      case "open": {
        const detached = quiet(this.#detach())
        this.#state = { kind: "detaching", detached }
        return detached
      }
      case "closing":
      case "closed":
        return quiet(
          state.closed.then(
            () => undefined,
            () => this.detach(),
          ),
        )
      case "detaching":
      case "detached":
        return state.detached
      case "failed":
        return this.#refuse("detach()")
    }
  }

  restart(): Promise<void> {
    if (this.#state.kind !== "open") return this.#refuse("restart()")
    this.#restarting ??= quiet(
      this.#flow.startEpoch().finally(() => {
        this.#restarting = undefined
      }),
    )
    return this.#restarting
  }

  /** Fails the producer: what is not acknowledged will not be sent again. */
  abort(reason: unknown): void {
    this.#fail(new FetchBackoffAbortError(reason))
  }

  undelivered(): Uint8Array[] {
    return this.#state.kind === "failed" ? this.#flow.undelivered() : []
  }

  /** Always after the call that started it has set the state. */
  async #close(last: HeldMessage | undefined): Promise<StreamEnd> {
    await Promise.resolve()
    try {
      const end = await this.#flow.close(last)
      if (this.#state.kind === "closing") this.#end({ ...this.#state, kind: "closed" })
      return end
    } catch (error) {
      if (this.#state.kind === "closing") this.#state = { kind: "open" }
      throw error
    }
  }

  async #detach(): Promise<void> {
    await Promise.resolve()
    try {
      await this.#flow.flush()
    } finally {
      if (this.#state.kind === "detaching") this.#end({ ...this.#state, kind: "detached" })
    }
  }

  #fail(error: Error): void {
    const { kind } = this.#state
    if (kind === "failed" || kind === "closed" || kind === "detached") return
    this.#end({ kind: "failed", error })
    // Where no message is lost, whoever asked for it hears of it: of a closure by close(), of an abort by the signal. Handlers
    // connect anew (as the Yjs provider's does), which one whose closing request is refused must not make them do.
    if (this.#flow.undelivered().length > 0) this.#report(error)
    this.#flow.fail(error)
  }

  /** Nothing is left of a producer that has ended: no timer, no listener, no request. */
  #end(state: ProducerState): void {
    this.#state = state
    this.#flow.stop()
    this.#scope.abort()
  }

  #report(error: Error): void {
    callObserver("onError", () => this.#settings.onError?.(error))
  }

  #checkOpen(call: string): void {
    if (this.#state.kind !== "open") throw this.#endedError(call)
  }

  #refuse(call: string): Promise<never> {
    return quiet(Promise.reject(this.#endedError(call)))
  }

  #endedError(call: string): Error {
    return this.#state.kind === "failed"
      ? this.#state.error
      : endedError(this.#state, call, this.#stream)
  }
}
