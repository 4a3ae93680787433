import { DurableStreamError } from "../errors/durable-stream-error.ts"
import { LinkedAbortController } from "../http/abort.ts"
import { createEndpoint } from "../http/endpoint.ts"
import { badOption, checkDuration, checkOptions, RULES } from "../http/option-checks.ts"
import { supportAsyncDispose } from "../platform/async-dispose.ts"
import { callObserver } from "../platform/console.ts"
import { onPageLifecycle } from "../platform/page-lifecycle.ts"
import { isOffset, START_OFFSET, type Offset } from "../protocol/offset.ts"
import { describeUrl } from "../protocol/request-url.ts"
import type { LiveMode, StreamEvent, StreamFailure, StreamOptions } from "../read/stream-options.ts"
import type { StreamBatch } from "../read/stream-response.ts"
import { stream } from "../stream.ts"
import type { StreamPersistence } from "./stream-persistence.ts"
import { ViewRecord, type Checkpoint } from "./view-record.ts"
import { statusOf, type StreamStoreStatus } from "./view-status.ts"

/** The options of {@link createStreamStore}: those of `stream()`, and what is made of the messages. */
export interface StreamStoreOptions<TValue, TMessage = unknown> extends Omit<
  StreamOptions,
  "offset" | "cursor" | "live"
> {
  /** The view before the first message. */
  initial: TValue
  /**
   * The view after one more message of a JSON stream, or one more chunk of text (a string) or of bytes. Pure: it returns a
   * new value and does not change the one it gets. What it throws ends reading; nothing of that batch is kept.
   */
  reduce: (value: TValue, message: TMessage) => TValue
  /**
   * A view that was made elsewhere, by a server that renders the page, and its `offset`. It is shown at once; reading
   * continues there, or at the stored record if that is newer.
   */
  snapshot?: { readonly data: TValue; readonly offset: Offset } | undefined
  /**
   * Where the view is stored with its offset. Its key must contain the user.
   *
   * @default the view is not stored: the stream is read from its start
   */
  persist?: StreamPersistence | undefined
  /**
   * The version of `reduce` and of the view's shape. A record with another one is discarded.
   *
   * @default 0
   */
  version?: number | string | undefined
  /**
   * Makes text of a view. Give `deserialize` too.
   *
   * @default JSON.stringify
   */
  serialize?: ((value: TValue) => string) | undefined
  /** @default JSON.parse */
  deserialize?: ((text: string) => TValue) | undefined
  /**
   * The view is stored at most once in this time, in milliseconds. It is also stored when the page is hidden and when reading
   * stops.
   *
   * @default 1_000
   */
  saveIntervalMs?: number | undefined
  /**
   * Over which transport the view follows the stream.
   *
   * @default true: SSE for JSON, long-poll otherwise
   */
  live?: Exclude<LiveMode, false> | undefined
}

/** A view with what it is doing. The same object until one of its fields changes. */
export interface StreamStoreState<TValue> {
  readonly data: TValue
  readonly status: StreamStoreStatus
  /**
   * Why the status is `failed`, `retrying` or `offline`. With another status, what the storage failed with last: the view
   * goes on without it.
   */
  readonly error: unknown
  /** How often the view has started over, because the stream was deleted and created again or is truncated. */
  readonly restarted: number
}

/**
 * A live view of a stream. It reads while it has listeners, and continues where it stopped when there is one again.
 *
 * `subscribe` and `getSnapshot` (or `getState`) are what React's `useSyncExternalStore` expects. `subscribe` is also that of
 * a Svelte store: it calls the listener with the view at once, which React ignores. They need no `this`.
 */
export interface StreamStore<TValue> {
  /** The view. The same object until it changes. */
  readonly getSnapshot: () => TValue
  /** The view with its status. The same object until one of both changes. */
  readonly getState: () => StreamStoreState<TValue>
  /**
   * Calls back with the view at once, and whenever the view or its status changes.
   *
   * @returns a function that ends the subscription
   */
  readonly subscribe: (listener: (value: TValue) => void) => () => void
  readonly status: StreamStoreStatus
  /** See {@link StreamStoreState}. */
  readonly error: unknown
  /** See {@link StreamStoreState}. */
  readonly restarted: number
  /** The end of what the view is made of: with it, the option `snapshot` of another store. */
  readonly offset: Offset
  /**
   * Begins a new read from where the view is, also after a failure and without listeners. If `reduce` threw, the view first
   * goes back to its record.
   *
   * @returns resolves once the view is up to date; rejects with what reading failed with. It raises no unhandled rejection:
   *   `error` has it too
   */
  readonly refresh: () => Promise<void>
  /**
   * Discards the view and its record, and reads from the start if there are listeners. When a user signs out, call it after
   * `destroy()`.
   *
   * @returns resolves once the record is deleted; rejects if the storage fails, without an unhandled rejection
   */
  readonly clear: () => Promise<void>
  /** Ends the view: saves it, and releases everything. Listeners are called no more. Never rejects. */
  readonly destroy: () => Promise<void>
  /** As {@link StreamStore.destroy}, for `await using`. */
  [Symbol.asyncDispose](): Promise<void>
}

/**
 * Makes a live view of a stream: what was read, reduced to one value, stored together with the offset to resume from. No
 * request is made before the first `subscribe` or `refresh`.
 *
 * @throws DurableStreamError `BAD_REQUEST` that names the option; InvalidSignalError
 * @example
 * ```ts no-run
 * // Needs a browser: localStorage.
 * import { createStreamStore, localStoragePersistence } from "@durable-streams/client/store"
 *
 * const messages = createStreamStore({
 *   url: "https://streams.example.com/chat/42",
 *   initial: [] as string[],
 *   reduce: (texts, message: { text: string }) => [...texts, message.text],
 *   persist: localStoragePersistence("ada/chat/42"),
 * })
 * const unsubscribe = messages.subscribe((texts) => console.log(messages.status, texts))
 * ```
 */
export function createStreamStore<TValue, TMessage = unknown>(
  options: StreamStoreOptions<TValue, TMessage>,
): StreamStore<TValue> {
  return new MaterializedView(options)
}

interface Session {
  readonly controller: LinkedAbortController
  readonly ended: Promise<void>
}

interface Listener<TValue> {
  readonly call: (value: TValue) => unknown
}

class MaterializedView<TValue, TMessage> implements StreamStore<TValue> {
  readonly #url: string
  readonly #initial: TValue
  /** Where the view begins if there is no record. */
  #snapshot: Checkpoint<TValue>
  readonly #reduce: (value: TValue, message: TMessage) => TValue
  /** The options of `stream()`. */
  readonly #reading: Omit<StreamOptions, "offset" | "cursor">
  readonly #record: ViewRecord<TValue>
  readonly #listeners = new Set<Listener<TValue>>()
  #state: StreamStoreState<TValue>
  /** The view at the end of a page. Undefined until the record was read, and again after `reduce` threw. */
  #checkpoint: Checkpoint<TValue> | undefined
  /** The next batch begins another stream than that of `data`. */
  #isAnother = false
  #session: Session | undefined
  #stopTimer: ReturnType<typeof setTimeout> | undefined
  #readError: unknown
  #storageError: unknown
  /** What `refresh` waits with. */
  readonly #waiters: { resolve: () => void; reject: (error: unknown) => void }[] = []
  #isDestroyed = false

  constructor(options: StreamStoreOptions<TValue, TMessage>) {
    checkStoreOptions(options)
    const { initial, reduce, persist, version = 0, serialize, deserialize, ...rest } = options
    const { saveIntervalMs = 1_000, snapshot, ...reading } = rest
    const endpoint = createEndpoint(options)
    // Here the caller sees it. A path is one of the page: a server that renders the page makes no request.
    if (endpoint.urlError !== undefined && !endpoint.url.startsWith("/")) throw endpoint.urlError
    this.#url = describeUrl(endpoint.url)
    this.#initial = initial
    this.#reduce = reduce
    this.#reading = reading
    const { data, offset } = snapshot ?? { data: initial, offset: START_OFFSET }
    this.#snapshot = { value: data, offset }
    this.#state = { data, status: this.#unfinished, error: undefined, restarted: 0 }
    this.#record = new ViewRecord({
      persist,
      url: this.#url,
      version: String(version),
      serialize: serialize ?? JSON.stringify,
      // The version says that what was stored is such a view.
      deserialize: deserialize ?? (JSON.parse as (text: string) => TValue),
      saveIntervalMs: checkDuration("saveIntervalMs", saveIntervalMs),
      onStorageError: (error) => {
        this.#storageError = error
        this.#set({})
      },
      onCodecError: (error) => {
        this.#stop()
        this.#set({ status: "failed" }, error)
      },
    })
    supportAsyncDispose(this)
  }

  readonly getSnapshot = (): TValue => this.#state.data

  readonly getState = (): StreamStoreState<TValue> => this.#state

  readonly subscribe = (call: Listener<TValue>["call"]): (() => void) => {
    if (typeof call !== "function") throw badOption("listener", "a function", call)
    // One function can be subscribed more than once.
    const listener = { call }
    if (!this.#isDestroyed) this.#listeners.add(listener)
    if (this.status !== "failed" && this.status !== "closed") this.#start()
    this.#notify(listener)
    return () => {
      this.#listeners.delete(listener)
      this.#stopIfUnused()
    }
  }

  get status(): StreamStoreStatus {
    return this.#state.status
  }

  get error(): unknown {
    return this.#state.error
  }

  get restarted(): number {
    return this.#state.restarted
  }

  get offset(): Offset {
    return (this.#checkpoint ?? this.#snapshot).offset
  }

  /** Keeps Vue from wrapping the store in a proxy, behind which private members fail. */
  get [Symbol.toStringTag](): string {
    return "StreamStore"
  }

  /** Keeps valtio from wrapping it: it leaves what has this key. */
  get [Symbol.iterator](): undefined {
    return undefined
  }

  readonly refresh = (): Promise<void> => {
    const upToDate = new Promise<void>((resolve, reject) => {
      this.#waiters.push({ resolve, reject })
    })
    if (this.#isDestroyed) this.#settleWaiters({ error: this.#destroyedError() })
    else {
      this.#stop()
      this.#set({ status: this.#unfinished }, undefined)
      this.#start()
    }
    return unobserved(upToDate)
  }

  readonly clear = (): Promise<void> => {
    this.#stop()
    this.#isAnother = false
    this.#checkpoint = this.#snapshot = { value: this.#initial, offset: START_OFFSET }
    const cleared = this.#record.clear()
    this.#set({ data: this.#initial, status: "loading" }, undefined)
    if (this.#isUsed) this.#start()
    return unobserved(cleared)
  }

  readonly destroy = async (): Promise<void> => {
    const session = this.#session
    this.#isDestroyed = true
    this.#listeners.clear()
    this.#stop()
    this.#settleWaiters({ error: this.#destroyedError() })
    await session?.ended
    await this.#record.flush()
  };

  [Symbol.asyncDispose](): Promise<void> {
    return this.destroy()
  }

  get #isUsed(): boolean {
    return this.#listeners.size > 0 || this.#waiters.length > 0
  }

  /** The status before the tail is reached. */
  get #unfinished(): "loading" | "catching-up" {
    return this.offset === START_OFFSET ? "loading" : "catching-up"
  }

  #start(): void {
    clearTimeout(this.#stopTimer)
    if (this.#isDestroyed || this.#session !== undefined) return
    const { signal } = this.#reading
    const controller = new LinkedAbortController(signal)
    const ended = this.#read(controller.signal).finally(() => {
      controller.end()
      if (this.#session === session) this.#session = undefined
      if (signal?.aborted === true) void this.destroy()
    })
    const session = { controller, ended }
    this.#session = session
  }

  /** Ends the session. Nothing of it changes the view from here on. */
  #stop(): void {
    clearTimeout(this.#stopTimer)
    this.#session?.controller.abort()
    this.#session = undefined
  }

  /** Not at once: who leaves may come back in the same turn (React's StrictMode, a route that changes). */
  #stopIfUnused(): void {
    clearTimeout(this.#stopTimer)
    if (this.#isUsed || this.#session === undefined) return
    this.#stopTimer = setTimeout(() => {
      this.#stop()
      this.#set({ status: "paused" }, undefined)
    })
  }

  /** Never rejects. */
  async #read(signal: AbortSignal): Promise<void> {
    const unwatchPage = onPageLifecycle((event) => {
      if (event === "hidden" || event === "departing") void this.#record.flush()
    })
    try {
      const checkpoint = this.#checkpoint ?? (await this.#load())
      if (signal.aborted) return
      this.#checkpoint = checkpoint
      const { data } = this.#state
      const shown = this.#isAnother ? data : checkpoint.value
      this.#set({ data: shown, status: this.#unfinished }, undefined)
      await this.#follow(checkpoint, signal)
    } catch (error) {
      if (!signal.aborted) this.#set({ status: "failed" }, error)
    } finally {
      unwatchPage()
      await this.#record.flush()
    }
  }

  async #load(): Promise<Checkpoint<TValue>> {
    const stored = await this.#record.load()
    const { offset } = this.#snapshot
    const isNewer = offset !== START_OFFSET && stored !== undefined && stored.offset < offset
    return stored === undefined || isNewer ? this.#snapshot : stored
  }

  /** Reads until the stream ends. */
  async #follow({ offset }: Checkpoint<TValue>, signal: AbortSignal): Promise<void> {
    const { observe, onError } = this.#reading
    const options = {
      ...this.#reading,
      signal,
      onError: (error: StreamFailure) => {
        const isGone = error.code === "NOT_FOUND" || error.code === "GONE"
        if (!isGone || this.#unfinished === "loading") return onError?.(error)
        this.#startOver()
        return { offset: START_OFFSET }
      },
      observe: (event: StreamEvent) => {
        if (!signal.aborted) this.#observe(event)
        return observe?.(event)
      },
    }
    for (let start = offset; ; start = START_OFFSET) {
      for await (const batch of await stream<TMessage>({ ...options, offset: start })) {
        if (signal.aborted) return
        const { restarted = start === START_OFFSET && this.#isAnother } = batch
        // This session reads on from an offset that the stream does not know.
        if (this.#isAnother && !restarted) break
        if (restarted && !this.#isAnother) this.#startOver()
        this.#apply(batch)
      }
      if (!this.#isAnother) return
    }
  }

  /** The stream is another one than the view was made of. What is shown stays until there is something of the new one. */
  #startOver(): void {
    this.#isAnother = true
    this.#checkpoint = this.#snapshot = { value: this.#initial, offset: START_OFFSET }
    // A later stream may know the offset that it holds.
    this.#record.clear().catch(this.#record.report)
  }

  #observe(event: StreamEvent): void {
    if (event.kind === "offset-mismatch") this.#startOver()
    // It follows the state `offline`, which does not say it.
    if (event.kind === "retry" && this.status === "offline") this.#set({}, event.error)
    if (event.kind !== "state") return
    const { state } = event
    const status = statusOf(state, this.#unfinished) ?? this.status
    this.#set({ status }, state.kind === "retrying" ? state.error : undefined)
  }

  #apply(batch: StreamBatch<TMessage>): void {
    const messages = messagesOf(batch)
    const { offset, streamClosed, upToDate } = batch
    // A part of a very long page has the offset before it.
    const isPart = messages.length > 0 && [this.#checkpoint?.offset, START_OFFSET].includes(offset)
    let data = this.#isAnother ? this.#initial : this.#state.data
    try {
      for (const message of messages) data = this.#reduce(data, message)
    } catch (error) {
      // It may have changed what it was given: only what is stored is certain.
      this.#record.forget()
      this.#checkpoint = undefined
      throw error
    }
    if (!isPart) {
      this.#checkpoint = { value: data, offset }
      this.#record.save(this.#checkpoint)
    }
    const restarted = this.#state.restarted + Number(this.#isAnother)
    this.#isAnother = false
    const status = streamClosed ? "closed" : upToDate ? "live" : "catching-up"
    this.#set({ data, status, restarted }, undefined)
  }

  /** Changes the state and notifies of it. Without a second argument the error of reading stays. */
  #set(changes: Partial<StreamStoreState<TValue>>, ...readError: [error?: unknown]): void {
    if (readError.length > 0) this.#readError = readError[0]
    const { data, status, error, restarted } = this.#state
    const next = { ...this.#state, ...changes, error: this.#readError ?? this.#storageError }
    const isSame =
      Object.is(next.data, data) &&
      next.status === status &&
      next.error === error &&
      next.restarted === restarted
    if (!isSame) {
      this.#state = next
      for (const listener of this.#listeners) this.#notify(listener)
    }
    if (next.status === "failed") this.#settleWaiters({ error: next.error })
    if (next.status === "live" || next.status === "closed") this.#settleWaiters()
  }

  #notify({ call }: Listener<TValue>): void {
    callObserver("subscribe", () => call(this.#state.data))
  }

  #settleWaiters(failure?: { readonly error: unknown }): void {
    if (this.#waiters.length === 0) return
    for (const { resolve, reject } of this.#waiters.splice(0)) {
      if (failure === undefined) resolve()
      else reject(failure.error)
    }
    this.#stopIfUnused()
  }

  #destroyedError(): DurableStreamError {
    const message = `The store of ${this.#url} is destroyed. Create another one.`
    return new DurableStreamError(message, "ALREADY_CLOSED")
  }
}

function checkStoreOptions<TValue, TMessage>(options: StreamStoreOptions<TValue, TMessage>): void {
  const isPersistence = (it: unknown) =>
    // Any value may be asked for a property.
    typeof (it as Partial<StreamPersistence> | null)?.load === "function"
  checkOptions(options, {
    reduce: RULES.function,
    persist: {
      words: "what localStoragePersistence or another function of its kind returns",
      isMet: isPersistence,
    },
    version: { words: "a number or a string", isMet: (it) => /^(number|string)$/.test(typeof it) },
    snapshot: {
      words: "an object with data and an offset",
      // As above.
      isMet: (it) => isOffset((it as { readonly offset?: unknown } | null)?.offset),
    },
    serialize: RULES.function,
    deserialize: RULES.function,
    live: {
      words: 'true, "long-poll" or "sse"; a view follows its stream',
      isMet: (it) => it !== false,
    },
  })
  // JavaScript callers can omit it.
  if ((options.reduce as unknown) === undefined) throw badOption("reduce", "a function", undefined)
  if ((options.serialize === undefined) !== (options.deserialize === undefined)) {
    throw badOption("serialize", "given together with deserialize", options.serialize)
  }
}

/** What a batch holds, as `reduce` gets it: its type parameter is what the caller claims of the stream. */
function messagesOf<TMessage>(batch: StreamBatch<TMessage>): readonly TMessage[] {
  if ("items" in batch) return batch.items
  const content = "text" in batch ? batch.text : batch.data
  // As above.
  return content.length === 0 ? [] : [content as TMessage]
}

/** The state has what it rejects with: no caller has to look at the promise. */
function unobserved(promise: Promise<void>): Promise<void> {
  promise.catch(() => undefined)
  return promise
}
