import { DurableStreamError } from "../errors/durable-stream-error.ts"
import { MAX_TIMER_MS } from "../http/abort.ts"
import type { MaybePromise } from "../http/request-inputs.ts"
import { isOffset, START_OFFSET, type Offset } from "../protocol/offset.ts"
import { isStoredView, type StoredView, type StreamPersistence } from "./stream-persistence.ts"

/** A view and where to resume. */
export interface Checkpoint<TValue> {
  readonly value: TValue
  readonly offset: Offset
}

/** What a record is kept with. */
export interface ViewRecordOptions<TValue> {
  readonly persist: StreamPersistence | undefined
  readonly url: string
  readonly version: string
  readonly serialize: (value: TValue) => string
  readonly deserialize: (text: string) => TValue
  readonly saveIntervalMs: number
  /** A save or a load failed, or none does any longer. */
  readonly onStorageError: (error: DurableStreamError | undefined) => void
  /** A view cannot be stored, whatever the storage. */
  readonly onCodecError: (error: DurableStreamError) => void
}

/** The stored record of one view: when it is written, and what of it is read. */
export class ViewRecord<TValue> {
  readonly #options: ViewRecordOptions<TValue>
  #unsaved: Checkpoint<TValue> | undefined
  #timer: ReturnType<typeof setTimeout> | undefined
  /** The last operation: one begins when the one before has ended. Undefined if there is none. */
  #last: Promise<void> | undefined
  #isCodecChecked = false

  constructor(options: ViewRecordOptions<TValue>) {
    this.#options = options
  }

  /** What is stored of this view. Undefined if nothing is, or if it cannot be used. Never rejects. */
  async load(): Promise<Checkpoint<TValue> | undefined> {
    const { persist, url, version, deserialize } = this.#options
    let stored: unknown
    await this.#run("read", async () => {
      stored = await persist?.load()
    }).catch(this.report)
    if (!isStoredView(stored) || stored.version !== version || stored.url !== url) return undefined
    if (!isOffset(stored.offset) || stored.offset === START_OFFSET) return undefined
    try {
      return { value: deserialize(stored.value), offset: stored.offset }
    } catch {
      // Unreadable: the stream has everything.
      return undefined
    }
  }

  /** Saves a checkpoint, within `saveIntervalMs` if no newer one takes its place. */
  save(checkpoint: Checkpoint<TValue>): void {
    if (this.#options.persist === undefined) return
    this.#unsaved = checkpoint
    const { saveIntervalMs } = this.#options
    this.#timer ??= setTimeout(() => void this.flush(), Math.min(saveIntervalMs, MAX_TIMER_MS))
  }

  /** Saves what is not saved, at once: before this returns if the storage is synchronous. Never rejects. */
  flush(): Promise<void> {
    clearTimeout(this.#timer)
    this.#timer = undefined
    return this.#run("saved", async () => {
      const { persist, onStorageError } = this.#options
      const checkpoint = this.#unsaved
      this.#unsaved = undefined
      const record = checkpoint && this.#encode(checkpoint)
      if (record === undefined) return
      await persist?.save(record)
      onStorageError(undefined)
    }).catch(this.report)
  }

  /** What is not saved yet stays so. */
  forget(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#unsaved = undefined
  }

  /**
   * Deletes the record.
   *
   * @throws DurableStreamError if the storage fails
   */
  clear(): Promise<void> {
    this.forget()
    return this.#run("deleted", () => this.#options.persist?.clear())
  }

  /** Reports what an operation rejected with. */
  readonly report = (error: unknown): void => {
    // What `#run` rejects with.
    this.#options.onStorageError(error as DurableStreamError)
  }

  /** An async function runs up to its first `await` at once: so does an operation that has none to wait for. */
  async #run(done: string, operation: () => MaybePromise<unknown>): Promise<void> {
    const before = this.#last
    const operate = async () => {
      if (before !== undefined) await before.catch(() => undefined)
      await operation()
    }
    const current = operate()
    this.#last = current
    try {
      await current
    } catch (cause) {
      const message = `The view of ${this.#options.url} could not be ${done}: see the cause. Reading continues.`
      throw new DurableStreamError(message, "UNKNOWN", undefined, undefined, { cause })
    } finally {
      if (this.#last === current) this.#last = undefined
    }
  }

  #encode({ value, offset }: Checkpoint<TValue>): StoredView | undefined {
    const { url, version, serialize, deserialize, onCodecError } = this.#options
    let difference: string | undefined
    try {
      const text: unknown = serialize(value)
      if (typeof text === "string") {
        difference = this.#isCodecChecked ? undefined : firstDifference(value, deserialize(text))
        this.#isCodecChecked = difference === undefined
        if (this.#isCodecChecked) return { version, url, offset, value: text }
      }
      onCodecError(this.#codecError(difference ?? ""))
    } catch (cause) {
      onCodecError(this.#codecError("", cause))
    }
    return undefined
  }

  #codecError(path: string, cause?: unknown): DurableStreamError {
    const what = `The view of ${this.#options.url}${path && ` (at ${path})`}`
    const message = `${what} does not survive the options serialize and deserialize. Pass others, or hold what JSON can.`
    return new DurableStreamError(message, "BAD_REQUEST", undefined, undefined, { cause })
  }
}

/**
 * The path of the first part of a value that its copy has otherwise; undefined if there is none. A property that is undefined
 * equals one that is missing.
 */
function firstDifference(
  value: unknown,
  copy: unknown,
  path = "",
  seen = new Set<unknown>(),
): string | undefined {
  if (value === copy || (Number.isNaN(value) && Number.isNaN(copy)) || seen.has(value)) {
    return undefined
  }
  const isPair = isObject(value) && isObject(copy)
  if (!isPair || classOf(value) !== classOf(copy)) return path || "its root"
  if (value instanceof Date && Number(value) !== Number(copy)) return path || "its root"
  seen.add(value)
  const parts = partsOf(value)
  const copies = partsOf(copy)
  for (const key of new Set([...parts.keys(), ...copies.keys()])) {
    const difference = firstDifference(parts.get(key), copies.get(key), `${path}.${key}`, seen)
    if (difference !== undefined) return difference
  }
  return undefined
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null
}

function classOf(value: object): unknown {
  // An object without a prototype is as plain as any.
  return (Object.getPrototypeOf(value) as unknown) ?? Object.prototype
}

function partsOf(value: object): Map<string, unknown> {
  // What is iterable (lists, maps, sets, bytes) is compared by what it gives.
  const parts = Symbol.iterator in value ? [...(value as Iterable<unknown>)] : value
  return new Map(Object.entries(parts))
}
