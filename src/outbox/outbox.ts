/* eslint-disable max-lines -- the life of an outbox is one idea: appends, delivery, failures and its end share one state */
import { DurableStreamError } from "../errors/durable-stream-error.ts"
import type { DurableStreamErrorCode } from "../errors/error-code.ts"
import { invalidMessageError } from "../errors/invalid-message-error.ts"
import { LinkedAbortController, raceAbort, sleep } from "../http/abort.ts"
import { backoffDelayMs } from "../http/backoff.ts"
import { checkSignal } from "../http/endpoint.ts"
import { badOption, checkOptions, RULES } from "../http/option-checks.ts"
import { supportAsyncDispose } from "../platform/async-dispose.ts"
import { monotonicMs } from "../platform/clock.ts"
import { callObserver } from "../platform/console.ts"
import { onOnline } from "../platform/network.ts"
import { randomId } from "../platform/random-id.ts"
import { encodeUtf8 } from "../platform/text.ts"
import { encodeMessage, takeSnapshot } from "../protocol/message.ts"
import type { DurableStream } from "../durable-stream.ts"
import { OutboxError } from "./outbox-error.ts"
import { GroupedAppends } from "./grouped-appends.ts"
import {
  checkOutboxOptions,
  type OutboxEvent,
  type OutboxOptions,
  type OutboxSettings,
} from "./outbox-options.ts"
import { writeClosing, type OutboxFailure, type SealedBatch } from "./outbox-records.ts"
import {
  enqueueMessages,
  openRecord,
  prepareAttempt,
  readPending,
  readProgress,
  readUndelivered,
  resumeDelivery,
  settleAttempt,
  type EnqueueResult,
  type Progress,
  type SendOutcome,
} from "./outbox-rules.ts"
import type { StoreProgram } from "./outbox-store.ts"
import { sendBatch } from "./send-batch.ts"

/**
 * What an outbox is doing.
 *
 * - `idle`: nothing waits.
 * - `sending`: this opener, or another one, sends.
 * - `retrying`: the last attempt failed; the next follows.
 * - `paused`: the server rejected the credentials. Retried once a minute, and by `resume()`.
 * - `failed`: nothing is sent until `resume()`; `error` says why.
 * - `closed`: this outbox has closed the stream.
 * - `detached`: this opener does nothing any more.
 */
export type OutboxState =
  "idle" | "sending" | "retrying" | "paused" | "failed" | "closed" | "detached"

/** Delivery that was rejected for its credentials is retried after this, in milliseconds. */
const PAUSE_MS = 60_000

/**
 * Opens an outbox: a queue on disk whose messages are delivered to a stream exactly once and in order, through reloads, crashes
 * and days offline.
 *
 * Delivery goes on by itself while a process has the outbox open. Several may have it open at the same time.
 *
 * @param stream - the handle; its headers, params, fetch and back-off apply
 * @returns resolves once the store is open; the network is not needed
 * @throws DurableStreamError `BAD_REQUEST` that names the option
 * @throws OutboxError if the stored outbox belongs to another stream or content type, or newer code wrote it; `STORE_FAILED`
 * @example
 * ```ts no-run
 * // Needs better-sqlite3.
 * import { DurableStream } from "@durable-streams/client"
 * import { openOutbox, sqliteStore, type SqliteDatabase } from "@durable-streams/client/outbox"
 *
 * declare const db: SqliteDatabase & { transaction(run: () => void): () => void } // new Database("shop.db")
 * const stream = new DurableStream({ url: "https://streams.example.com/orders", contentType: "application/json" })
 * const outbox = await openOutbox(stream, { store: sqliteStore(db) })
 * db.transaction(() => {
 *   db.prepare("INSERT INTO orders (id) VALUES (?)").run(1)
 *   void outbox.append({ id: 1 }, { transaction: db })
 * })()
 * await outbox.flush()
 * ```
 */
export async function openOutbox(stream: DurableStream, options: OutboxOptions): Promise<Outbox> {
  const outbox = new Outbox(checkOutboxOptions(stream, options))
  await outbox.open()
  return outbox
}

/** An open outbox: see {@link openOutbox}. */
export class Outbox {
  readonly #settings: OutboxSettings
  readonly #stop: LinkedAbortController
  readonly #watchers = new Set<() => void>()
  readonly #appends = new GroupedAppends((messages) => {
    const { maxPendingBytes } = this.#settings
    return this.#transact(() => enqueueMessages(messages, maxPendingBytes))
  })
  #state: OutboxState = "idle"
  /** What the program knows of why delivery failed: it decides about that one. */
  #failed:
    | {
        readonly error: OutboxError
        readonly failure: OutboxFailure | undefined
        readonly atMs: number
      }
    | undefined
  /** When it was opened: by the store's clock, and by the one that nobody sets. */
  #opened = { storeMs: 0, atMs: 0 }
  #pending = { count: 0, bytes: 0 }
  #countedAtMs = 0
  /** The store is not closed under them. */
  readonly #transactions = new Set<Promise<unknown>>()
  #wake: (() => void) | undefined
  /** Something happened that delivery has not looked at. */
  #isNotified = false
  #progressCount = 0
  #failureCount = 0
  #delivery: Promise<void> = Promise.resolve()

  /**
   * Use {@link openOutbox}.
   *
   * @internal
   */
  constructor(settings: OutboxSettings) {
    this.#settings = settings
    this.#stop = new LinkedAbortController(settings.endpoint.signal, settings.signal)
    supportAsyncDispose(this)
  }

  /**
   * Opens the store and begins delivery.
   *
   * @internal
   */
  async open(): Promise<void> {
    const { store, name, config } = this.#settings
    try {
      this.#opened = {
        storeMs: await this.#transact(() => openRecord(config)),
        atMs: monotonicMs(),
      }
      await this.#refresh()
      this.#delivery = this.#deliver(store.watch?.(name, () => this.#notify("message")))
    } catch (error) {
      await this.#end()
      throw error
    }
  }

  /** How many messages are not acknowledged: counted in the store at the last look, with this opener's since then. */
  get pendingCount(): number {
    return this.#pending.count
  }

  /** The bytes of these messages. */
  get pendingBytes(): number {
    return this.#pending.bytes
  }

  get state(): OutboxState {
    return this.#state
  }

  /** Why delivery failed; undefined unless the state is `failed`. */
  get error(): OutboxError | undefined {
    return this.#failed?.error
  }

  /**
   * Queues a message on disk. Calls that overlap share a transaction of the store.
   *
   * @param message - as for `DurableStream.append`: on a JSON stream one value, else a string or bytes
   * @param options - `transaction`: the caller's connection to the store's database, with a transaction open. The message is part of
   *   it: it is delivered if the transaction is committed, and only then. On a synchronous database the message is written, and what
   *   this rejects with is thrown, before the call returns
   * @returns resolves once the message is on disk; with `transaction` once it is part of the transaction
   * @throws OutboxError `BUFFER_FULL`, `ALREADY_CLOSED`, `STORE_FAILED`, or what delivery failed with; DurableStreamError
   *   `PARSE_ERROR` or `BAD_REQUEST` for the message. It is not queued then, unless the error is `indeterminate`
   */
  append(message: unknown, options: { transaction?: unknown } = {}): Promise<void> {
    const { transaction } = options
    if (transaction !== undefined) return this.#appendWithin(transaction, this.#encode(message))
    return this.#append(message)
  }

  /**
   * Resolves once everything that was appended before the call is acknowledged, by whichever opener.
   *
   * @throws OutboxError what delivery failed with; FetchBackoffAbortError on abort. The messages stay in the store
   */
  async flush(options: { signal?: AbortSignal | undefined } = {}): Promise<void> {
    let last: number | undefined
    await this.#until(options.signal, ({ firstId, lastId }) => firstId > (last ??= lastId))
  }

  /**
   * Closes the stream behind the messages that are queued. Every opener's later `append` fails with `ALREADY_CLOSED`. Safe to call again.
   *
   * @returns resolves once the stream is closed
   * @throws OutboxError what delivery failed with; FetchBackoffAbortError on abort. The closure stays in the store
   */
  async close(options: { signal?: AbortSignal | undefined } = {}): Promise<void> {
    const begin = async () => {
      await this.#transact(() => writeClosing(true))
      this.#notify("message")
    }
    await this.#until(options.signal, ({ isClosed }) => isClosed, begin)
  }

  /**
   * Waits until everything is delivered, then ends this opener. With a signal that aborts, it ends at once. What is not delivered
   * stays in the store for the next opener; this one rejects every call from here on.
   *
   * @returns resolves once nothing of the opener is left
   */
  async detach(options: { signal?: AbortSignal | undefined } = {}): Promise<void> {
    // What prevents delivery is no reason to stay.
    if (this.#state !== "detached") await this.flush(options).catch(() => undefined)
    await this[Symbol.asyncDispose]()
  }

  /** Ends this opener at once, for `await using`. What is not delivered stays in the store for the next opener. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort()
    await this.#delivery
  }

  /**
   * Goes on after a failure, as the program decides about the batch that failed (the first messages of `undelivered()`):
   *
   * - `{ resend: true }`: it is not in the stream, and is sent under a new number.
   * - `{ skip: true }`: it is in the stream, or not wanted, and is dropped.
   * - nothing: the cause is gone, and it is sent under the same number. Safe in every case.
   *
   * Of several openers, the first decides; what the others decide about the same failure has no effect.
   *
   * @throws OutboxError `BUSY` while a request with the batch may still arrive, which can take three minutes
   */
  async resume(
    decision: { resend?: boolean | undefined; skip?: boolean | undefined } = {},
  ): Promise<void> {
    const { resend, skip } = checkOptions(decision, { resend: RULES.boolean, skip: RULES.boolean })
    if (resend === true && skip === true) throw badOption("skip", "omitted beside resend", skip)
    const resumption = resend === true ? "resend" : skip === true ? "skip" : "retry"
    const { failure, atMs } = this.#failed ?? {}
    if (failure === undefined && resumption !== "retry") {
      throw this.#makeError("it has not failed, there is nothing to decide.", "BAD_REQUEST")
    }
    const nowMs = monotonicMs()
    const known = {
      failure,
      knownForMs: nowMs - (atMs ?? nowMs),
      openedAtMs: this.#opened.storeMs,
      openForMs: nowMs - this.#opened.atMs,
    }
    const openMs = await this.#transact(() => resumeDelivery(resumption, known))
    if (openMs > 0) {
      throw this.#makeError(
        `a request with the batch may still arrive. Look at the stream again in ${Math.ceil(openMs / 1000)} s, then decide.`,
        "BUSY",
      )
    }
    await this.#refresh()
    this.#failureCount = 0
    if (this.#state === "failed") this.#set("idle")
    this.#notify("program")
  }

  /** The messages that are not acknowledged, in order; the first `indeterminateCount` of them may be in the stream. */
  undelivered(): Promise<{ messages: Uint8Array[]; indeterminateCount: number }> {
    return this.#transact(readUndelivered)
  }

  /** Keeps Vue from wrapping the outbox in a proxy, which cannot reach private members. */
  get [Symbol.toStringTag](): string {
    return "Outbox"
  }

  #encode(message: unknown): Uint8Array {
    const { config } = this.#settings
    if (this.#stop.signal.aborted) throw this.#detachedError()
    const content = encodeMessage(takeSnapshot(message), config.contentType)
    if (typeof content === "string") return encodeUtf8(content)
    if ("kind" in content) throw invalidMessageError(config.url, content)
    return content
  }

  async #append(message: unknown): Promise<void> {
    const bytes = this.#encode(message)
    this.#checkQueued(await this.#appends.push(bytes), bytes)
    const { count, bytes: pendingBytes } = this.#pending
    this.#pending = { count: count + 1, bytes: pendingBytes + bytes.byteLength }
    this.#notify("message")
  }

  #appendWithin(transaction: unknown, bytes: Uint8Array): Promise<void> {
    const { store, name, maxPendingBytes } = this.#settings
    if (store.join === undefined) {
      throw badOption("transaction", "omitted (the store cannot join one)", transaction)
    }
    const finish = ([result]: readonly EnqueueResult[]) => {
      if (result !== undefined) this.#checkQueued(result, bytes)
      this.#notify("message")
    }
    const program = () => enqueueMessages([bytes], maxPendingBytes)
    const fail = (error: unknown) => {
      throw this.#storeError(error)
    }
    let results: EnqueueResult[] | Promise<EnqueueResult[]>
    try {
      results = store.join(name, transaction, program)
    } catch (error) {
      return fail(error)
    }
    if (!Array.isArray(results)) return results.catch(fail).then(finish)
    finish(results)
    return Promise.resolve()
  }

  #checkQueued(result: EnqueueResult, { byteLength: bytes }: Uint8Array): void {
    switch (result.kind) {
      case "queued":
        this.#observe({ kind: "queued", bytes })
        return
      case "closed":
        throw this.#makeError("it is closed, nothing can be appended.", "ALREADY_CLOSED")
      case "full":
        throw this.#makeError(
          `${result.pendingBytes} bytes wait, and ${bytes} more would exceed maxPendingBytes (${this.#settings.maxPendingBytes}). Append again after flush().`,
          "BUFFER_FULL",
        )
      case "failed":
        throw this.#failedWith(result.failure)
    }
  }

  async #deliver(unwatch: (() => void) | undefined): Promise<void> {
    const { pollIntervalMs } = this.#settings
    const { signal } = this.#stop
    while (!signal.aborted) {
      this.#isNotified = false
      try {
        await this.#deliverNext(signal)
      } catch (error) {
        // Nothing but #transact throws. The next transaction shows what the store has.
        const failure = error as OutboxError
        if (failure.code === "STORE_FAILED") await this.#retry(failure, pollIntervalMs)
        else {
          this.#fail(failure)
          await this.#wait(pollIntervalMs)
        }
      }
    }
    unwatch?.()
    this.#set("detached")
    await this.#end()
  }

  async #end(): Promise<void> {
    const { store } = this.#settings
    this.#stop.end()
    await Promise.allSettled(this.#transactions)
    try {
      await store.close?.()
    } catch {
      // What is stored is stored.
    }
  }

  /** Makes one attempt, or waits for a reason to make one. */
  async #deliverNext(signal: AbortSignal): Promise<void> {
    const { endpoint, limits, pollIntervalMs } = this.#settings
    const attemptId = randomId()
    // Before an attempt is recorded: if it fails, nothing was sent.
    if (monotonicMs() - this.#countedAtMs >= pollIntervalMs) await this.#refresh()
    const next = await this.#transact(() => prepareAttempt(limits, attemptId))
    switch (next.kind) {
      case "busy":
        this.#set("sending")
        return this.#wait(Math.min(next.forMs, pollIntervalMs))
      case "idle":
      case "closed":
        if (this.#pending.count > 0) await this.#refresh()
        this.#set(next.kind)
        return this.#wait(pollIntervalMs, "message")
      case "failed":
        this.#failedWith(next.failure)
        return this.#wait(pollIntervalMs)
      case "send": {
        const { outbox, batch, isNew } = next
        if (this.#state !== "retrying" && this.#state !== "paused") this.#set("sending")
        const { epoch, seq, ids, body } = batch
        if (isNew) {
          this.#observe({ kind: "sealed", epoch, seq, count: ids.length, bytes: body.byteLength })
        }
        this.#observe({ kind: "sent", epoch, seq })
        const outcome = await sendBatch(endpoint, outbox, batch, signal)
        return this.#settle(batch, attemptId, outcome)
      }
    }
  }

  async #settle(batch: SealedBatch, attemptId: string, outcome: SendOutcome): Promise<void> {
    const settlement = await this.#transact(() => settleAttempt(batch, attemptId, outcome))
    switch (settlement.kind) {
      case "acknowledged": {
        const { epoch, seq, ids, body } = batch
        this.#failureCount = 0
        const { count, bytes } = this.#pending
        this.#pending = {
          count: Math.max(0, count - ids.length),
          bytes: Math.max(0, bytes - body.byteLength),
        }
        this.#observe({ kind: "acknowledged", epoch, seq, count: ids.length })
        this.#set("sending")
        this.#progressed()
        return
      }
      case "failed":
        this.#failedWith(settlement.failure)
        return
      case "retry":
        if (outcome.kind === "acknowledged" || this.#stop.signal.aborted) return
        if (outcome.kind === "paused") return this.#pause(outcome)
        return this.#retry(outcome, "retryAfterMs" in outcome ? outcome.retryAfterMs : 0)
      case "unsealed":
      case "ignored":
        return
    }
  }

  #pause({ code, message }: { readonly code: string; readonly message: string }): Promise<void> {
    this.#set("paused")
    this.#observe({ kind: "paused", code, message })
    return this.#wait(PAUSE_MS)
  }

  #retry(
    { code, message }: { readonly code: string; readonly message: string },
    atLeastMs: number,
  ): Promise<void> {
    const { backoff } = this.#settings
    const delayMs = backoffDelayMs(backoff, ++this.#failureCount, Math.random(), atLeastMs)
    this.#set("retrying")
    this.#observe({ kind: "retrying", code, message, delayMs })
    return this.#wait(delayMs)
  }

  /**
   * Waits; less long if the network comes back or `resume` is called.
   *
   * @param reason - `message`: also if a message was queued. It is no reason to repeat what failed
   */
  async #wait(ms: number, reason?: "message"): Promise<void> {
    if (reason !== undefined && this.#isNotified) return
    const { signal } = this.#stop
    const watch = (wake: () => void) => {
      this.#wake = wake
      const unwatch = onOnline(wake)
      return () => {
        this.#wake = undefined
        unwatch()
      }
    }
    // Nothing but an abort rejects, which delivery sees by itself.
    await sleep(ms, signal, watch).catch(() => undefined)
  }

  #notify(reason: "message" | "program"): void {
    this.#isNotified = true
    if (reason === "program" || this.#state === "idle") this.#wake?.()
  }

  /** Waits until what was appended before is stored, does what `begin` says, and waits until the store's progress meets a condition. */
  async #until(
    given: AbortSignal | undefined,
    isMet: (progress: Progress) => boolean,
    begin?: () => Promise<void>,
  ): Promise<void> {
    const linked = new LinkedAbortController(checkSignal(given))
    const { signal } = linked
    try {
      await raceAbort(this.#appends.settled().then(begin), signal)
      for (;;) {
        const { signal: stop } = this.#stop
        const seen = this.#progressCount
        const progress = await raceAbort(this.#transact(readProgress), signal)
        if (isMet(progress)) return
        if (progress.failure !== undefined) throw this.#failedWith(progress.failure)
        if (stop.aborted) throw this.#detachedError()
        if (seen !== this.#progressCount) continue
        await sleep(this.#settings.pollIntervalMs, signal, (wake) => {
          this.#watchers.add(wake)
          return () => this.#watchers.delete(wake)
        })
      }
    } finally {
      linked.end()
    }
  }

  async #refresh(): Promise<void> {
    this.#countedAtMs = monotonicMs()
    this.#pending = await this.#transact(readPending)
  }

  /** A transaction of this outbox. @throws OutboxError also for what the store throws */
  async #transact<T>(program: () => StoreProgram<T>): Promise<T> {
    const { store, name } = this.#settings
    if (this.#state === "detached") throw this.#detachedError()
    const transaction = store.transact(name, program)
    this.#transactions.add(transaction)
    try {
      return await transaction
    } catch (cause) {
      throw this.#storeError(cause)
    } finally {
      this.#transactions.delete(transaction)
    }
  }

  /** What a transaction is rejected with: the rules' own errors, or the store's. */
  #storeError(cause: unknown): DurableStreamError {
    if (cause instanceof DurableStreamError) {
      cause.message = cause.message.replace(/^The outbox/, `Outbox ${this.#settings.name}`)
      return cause
    }
    // Any value may be asked for a property.
    const { indeterminate, name, message } = Object(cause) as Partial<Record<string, unknown>>
    // A full quota of a browser has a name and no message.
    const reason = [name === "Error" ? "" : name, message ?? cause].filter(Boolean).map(String)
    return this.#makeError(`its store failed: ${reason.join(": ")}`, "STORE_FAILED", {
      indeterminate: indeterminate === true,
      cause,
    })
  }

  /** Tells the program why delivery failed, unless it knows: it can decide about nothing else. */
  #failedWith(failure: OutboxFailure): OutboxError {
    const known = this.#failed
    if (known !== undefined && JSON.stringify(known.failure) === JSON.stringify(failure)) {
      return known.error
    }
    const { code, message, indeterminate } = failure
    const advice = indeterminate
      ? "The first batch of undelivered() may be in the stream: look, then resume({ resend: true }) or resume({ skip: true })."
      : "Call resume() once the cause is gone, or resume({ skip: true }) to drop the batch."
    // The rules store codes of this package.
    const stored = code as DurableStreamErrorCode
    const error = this.#makeError(`it cannot deliver: ${message} ${advice}`, stored, {
      indeterminate,
    })
    this.#fail(error, failure)
    return error
  }

  #fail(error: OutboxError, failure?: OutboxFailure): void {
    const isKnown = failure === undefined && this.#failed?.error.message === error.message
    if (isKnown || this.#state === "detached") return
    this.#set("failed")
    this.#failed = { error, failure, atMs: monotonicMs() }
    this.#observe({ kind: "failed", error })
  }

  #detachedError(): OutboxError {
    return this.#makeError("it is detached. Open it again.", "ALREADY_CLOSED")
  }

  #makeError(
    message: string,
    code: DurableStreamErrorCode,
    options?: { indeterminate?: boolean; cause?: unknown },
  ): OutboxError {
    return new OutboxError(`Outbox ${this.#settings.name}: ${message}`, code, options)
  }

  #set(state: OutboxState): void {
    if (this.#state === state) return
    this.#failed = undefined
    this.#state = state
    this.#progressed()
  }

  #progressed(): void {
    this.#progressCount++
    for (const wake of [...this.#watchers]) wake()
  }

  #observe(event: OutboxEvent): void {
    const { observe } = this.#settings
    if (observe !== undefined) callObserver("observe", () => observe(event))
  }
}
