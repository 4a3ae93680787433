import { useEffect, useMemo, useSyncExternalStore } from "react"
import { DurableStream } from "../durable-stream.ts"
import type { StreamHandleOptions } from "../durable-stream-options.ts"
import { IdempotentProducer } from "../idempotent-producer.ts"
import { randomId } from "../platform/random-id.ts"
import type { IdempotentAppendResult } from "../producer/acknowledgements.ts"
import type { IdempotentProducerOptions } from "../producer/producer-options.ts"
import { latestRequestOptions, type Latest } from "./latest-options.ts"

type HandleOptions = Pick<
  StreamHandleOptions,
  | "url"
  | "headers"
  | "params"
  | "fetch"
  | "fetchOptions"
  | "backoffOptions"
  | "requestTimeoutMs"
  | "warnOnRetry"
  | "contentType"
>

type ProducerOptions = Pick<
  IdempotentProducerOptions,
  "maxBatchBytes" | "maxBatchItems" | "lingerMs" | "maxInFlight" | "deliveryTimeoutMs" | "onError"
>

/** The options of {@link useStreamWriter}: where to write, and how its producer batches and retries. */
export interface UseStreamWriterOptions extends HandleOptions, ProducerOptions {
  /**
   * Identifies the writer to the server. Another producer with the same id is fenced.
   *
   * @default a new random one
   */
  producerId?: string | undefined
}

/**
 * What {@link useStreamWriter} returns. The same object until `pendingCount` or `error` changes; its functions stay the same.
 */
export interface StreamWriter extends WriterState {
  /**
   * Sends a message, exactly once and in the order of the calls. It is delivered even if the component is unmounted
   * meanwhile, as long as the page lives. The promise raises no unhandled rejection: `error` has what it rejects with, too.
   *
   * @returns once the message is stored; rejects as `send` of an IdempotentProducer does
   */
  readonly append: (body: unknown) => Promise<IdempotentAppendResult>
  /**
   * After the producer has failed (its messages could not be delivered for `deliveryTimeoutMs`, another producer fenced it):
   * continues with its successor, which first sends what is certainly not stored. Does nothing otherwise.
   *
   * @returns the messages that may be stored although no response says so, serialized: they are not sent again
   */
  readonly retry: () => readonly Uint8Array[]
}

interface WriterState {
  /** How many messages are not acknowledged yet. */
  readonly pendingCount: number
  /** What a message was not stored for, until a later one is. */
  readonly error: unknown
}

/**
 * Writes to a stream from a component through an {@link IdempotentProducer}. With another `url`, `contentType` or
 * `producerId` the next message goes to the new stream; what was appended before is still delivered to the old one. What must
 * survive the page needs the outbox.
 *
 * @example
 * ```tsx no-run
 * // Needs React.
 * import { useStreamWriter } from "@durable-streams/client/react"
 *
 * export function Composer({ url }: { url: string }) {
 *   const { append, retry, pendingCount, error } = useStreamWriter({ url, contentType: "application/json" })
 *   return (
 *     <form action={(form) => void append({ text: form.get("text") })}>
 *       <input name="text" />
 *       {pendingCount > 0 && <p>Sending …</p>}
 *       {error !== undefined && <button onClick={retry}>{String(error)} Retry?</button>}
 *     </form>
 *   )
 * }
 * ```
 * @throws DurableStreamError `BAD_REQUEST` that names the option, while rendering
 */
export function useStreamWriter(options: UseStreamWriterOptions): StreamWriter {
  const { url, contentType, producerId } = options
  const { writer, latest } = useMemo(() => {
    const current: Latest<UseStreamWriterOptions> = { current: options }
    return { writer: new Writer(current), latest: current }
  }, [String(url), contentType, producerId])
  useEffect(() => {
    latest.current = options
  })
  const state = useSyncExternalStore(writer.subscribe, writer.getState, writer.getState)
  return useMemo(() => ({ ...state, append: writer.append, retry: writer.retry }), [state, writer])
}

/** The producer behind a component, for as long as the component is mounted or messages are on their way. */
class Writer {
  readonly #handle: DurableStream
  readonly #latest: Latest<UseStreamWriterOptions>
  readonly #listeners = new Set<() => void>()
  #producer: IdempotentProducer | undefined
  #state: WriterState = { pendingCount: 0, error: undefined }
  #detachTimer: ReturnType<typeof setTimeout> | undefined

  constructor(latest: Latest<UseStreamWriterOptions>) {
    const { url, fetchOptions, backoffOptions, requestTimeoutMs, warnOnRetry, contentType } =
      latest.current
    this.#latest = latest
    this.#handle = new DurableStream({
      url,
      fetchOptions,
      backoffOptions,
      requestTimeoutMs,
      warnOnRetry,
      contentType,
      ...latestRequestOptions(latest),
    })
    // Makes no request, and checks the options while the component renders.
    this.#producer = this.#createProducer()
  }

  readonly getState = (): WriterState => this.#state

  readonly subscribe = (listener: () => void): (() => void) => {
    clearTimeout(this.#detachTimer)
    this.#listeners.add(listener)
    return () => {
      this.#listeners.delete(listener)
      this.#detachIfUnused()
    }
  }

  readonly append = (body: unknown): Promise<IdempotentAppendResult> => {
    this.#producer ??= this.#createProducer()
    return this.#track(this.#producer, this.#producer.send(body))
  }

  readonly retry = (): readonly Uint8Array[] => {
    if (this.#producer?.state !== "failed") return []
    const successor = IdempotentProducer.takeOver(this.#producer)
    this.#producer = successor
    void this.#track(successor, successor.flush())
    return successor.indeterminate()
  }

  #createProducer(): IdempotentProducer {
    const { maxBatchBytes, maxBatchItems, lingerMs, maxInFlight, deliveryTimeoutMs, producerId } =
      this.#latest.current
    return new IdempotentProducer(this.#handle, producerId ?? randomId(), {
      maxBatchBytes,
      maxBatchItems,
      lingerMs,
      maxInFlight,
      deliveryTimeoutMs,
      autoClaim: true,
      onError: (error) => this.#latest.current.onError?.(error),
    })
  }

  #track<T>(producer: IdempotentProducer, sent: Promise<T>): Promise<T> {
    this.#change(1, this.#state.error)
    sent.then(
      () => {
        this.#change(-1, producer.state === "failed" ? this.#state.error : undefined)
      },
      (error: unknown) => {
        this.#change(-1, error)
      },
    )
    return sent
  }

  #change(by: 1 | -1, error: unknown): void {
    this.#state = { pendingCount: this.#state.pendingCount + by, error }
    for (const listener of this.#listeners) listener()
    this.#detachIfUnused()
  }

  /**
   * Not at once: StrictMode unmounts a component and mounts it again in the same turn. A failed producer holds nothing, and
   * `retry` needs it.
   */
  #detachIfUnused(): void {
    clearTimeout(this.#detachTimer)
    const isUsed = this.#listeners.size > 0 || this.#state.pendingCount > 0
    if (isUsed || this.#producer?.state !== "open") return
    this.#detachTimer = setTimeout(() => {
      // Everything is acknowledged.
      this.#producer?.detach().catch(() => undefined)
      this.#producer = undefined
    })
  }
}
