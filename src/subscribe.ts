import { badOption } from "./http/option-checks.ts"
import { warnOfUnknownOptions } from "./http/unknown-options.ts"
import { createEndpoint } from "./http/endpoint.ts"
import { warn } from "./platform/console.ts"
import type { StandardSchemaV1 } from "./protocol/standard-schema.ts"
import type { StreamBatch } from "./read/stream-response.ts"
import { openStream } from "./read/session-response.ts"
import type { StreamOptions } from "./read/stream-options.ts"

/** What {@link subscribe} calls. */
export interface SubscribeHandlers<TJson = unknown> {
  /**
   * Called with each batch: messages, text (`text/*`) or bytes, by the content type. The next batch waits for its promise. If
   * it fails, the subscription ends with that error.
   */
  onBatch: (batch: StreamBatch<TJson>) => unknown
  /**
   * Called once if the subscription ends with an error: an invalid option, a request that failed for good, or what `onBatch`
   * threw.
   *
   * @default prints the error's message as a warning
   */
  onError?: ((error: unknown) => void) | undefined
  /** Called once if the stream has ended: it is closed, or caught up with `live: false`. */
  onEnd?: (() => void) | undefined
}

/**
 * Reads a stream and calls back, without a promise to wait for: for the effects of a user interface. It is `stream()` and a
 * loop over its response.
 *
 * @param options - as for `stream()`
 * @param handlers - what is called; nothing is, once the subscription was ended or the options' signal aborted
 * @returns a function that ends the subscription, whatever it has begun: the first request, a retry, a read
 * @throws DurableStreamError `BAD_REQUEST` if `onBatch` is not a function
 * @example
 * ```ts
 * import { subscribe } from "@durable-streams/client"
 *
 * const unsubscribe = subscribe<{ text: string }>(
 *   { url: "https://streams.example.com/chat/42", offset: "-1" },
 *   {
 *     onBatch(batch) {
 *       if ("items" in batch) for (const message of batch.items) console.log(message.text)
 *     },
 *     onEnd: () => console.log("closed"),
 *   },
 * )
 * ```
 */
export function subscribe<TJson = unknown>(
  options: StreamOptions | (StreamOptions & { schema: StandardSchemaV1<unknown, TJson> }),
  handlers: SubscribeHandlers<TJson>,
): () => void {
  // JavaScript callers can leave the handlers out.
  const { onBatch, onEnd, onError = warnOfError } = Object(handlers) as SubscribeHandlers<TJson>
  if (typeof onBatch !== "function") throw badOption("onBatch", "a function", onBatch)
  const controller = new AbortController()
  const { signal } = controller
  const read = async () => {
    warnOfUnknownOptions(options)
    const response = await openStream<TJson>(createEndpoint(options), { ...options, signal })
    for await (const batch of response) await onBatch(batch)
  }
  const unlessEnded = (callback: () => void) => {
    if (!signal.aborted && options.signal?.aborted !== true) callback()
  }
  void read().then(
    () => unlessEnded(() => onEnd?.()),
    (error: unknown) => unlessEnded(() => onError(error)),
  )
  return () => {
    controller.abort()
  }
}

function warnOfError(error: unknown): void {
  warn(`A subscription ended: ${error instanceof Error ? error.message : String(error)}`)
}
