import { useEffect, useMemo, useSyncExternalStore } from "react"
import {
  createStreamStore,
  type StreamStore,
  type StreamStoreOptions,
  type StreamStoreState,
} from "../store/index.ts"
import { latestRequestOptions, type Latest } from "./latest-options.ts"

/** The options of {@link useDurableStream}: those of a view. */
export type UseDurableStreamOptions<TValue, TMessage = unknown> = StreamStoreOptions<
  TValue,
  TMessage
>

/**
 * What {@link useDurableStream} returns: the view, what it is doing, and how to begin again. The same object until it
 * changes.
 */
export interface DurableStreamView<TValue> extends StreamStoreState<TValue> {
  /** Reads on, also after a failure. See {@link StreamStore.refresh}. */
  readonly refresh: () => Promise<void>
  /** Discards the view and its record. See {@link StreamStore.clear}. */
  readonly clear: () => Promise<void>
}

/**
 * Shows a view of a stream. It reads while the component is mounted, and starts over with another `url`, `version` or record
 * (`persist.id`): then `data` is that of the new view at once. All other options can be new objects in every render;
 * functions are called as the last render gave them, and `initial` is that of the first.
 *
 * On the server, and while the page is hydrated, it is `initial` with the status `loading`, and nothing is requested.
 *
 * @example
 * ```tsx no-run
 * // Needs React.
 * import { useDurableStream } from "@durable-streams/client/react"
 *
 * export function Chat({ room }: { room: string }) {
 *   const { data, status, error } = useDurableStream({
 *     url: `https://streams.example.com/chat/${room}`,
 *     initial: [] as string[],
 *     reduce: (texts, message: { text: string }) => [...texts, message.text],
 *   })
 *   if (status === "failed") return <p role="alert">{String(error)}</p>
 *   return <ul aria-busy={status !== "live"}>{data.map((text, n) => <li key={n}>{text}</li>)}</ul>
 * }
 * ```
 * @throws DurableStreamError `BAD_REQUEST` that names the option, while rendering
 */
export function useDurableStream<TValue, TMessage = unknown>(
  options: UseDurableStreamOptions<TValue, TMessage>,
): DurableStreamView<TValue> {
  const { url, version, persist } = options
  // A view keeps the functions of its own renders: it may save again after another view has replaced it.
  const { store, latest, initialState } = useMemo(
    () => createView(options),
    [String(url), version, persist?.id],
  )
  useEffect(() => {
    latest.current = options
  })
  const state = useSyncExternalStore(store.subscribe, store.getState, () => initialState)
  return useMemo(() => ({ ...state, refresh: store.refresh, clear: store.clear }), [state, store])
}

interface View<TValue, TMessage> {
  readonly store: StreamStore<TValue>
  readonly latest: Latest<UseDurableStreamOptions<TValue, TMessage>>
  /** What is rendered on the server, and must be while the page is hydrated. */
  readonly initialState: StreamStoreState<TValue>
}

function createView<TValue, TMessage>(
  options: UseDurableStreamOptions<TValue, TMessage>,
): View<TValue, TMessage> {
  const latest = { current: options }
  const { serialize, deserialize } = options
  const store = createStreamStore<TValue, TMessage>({
    ...options,
    ...latestRequestOptions(latest),
    reduce: (value, message) => latest.current.reduce(value, message),
    onError: (error) => latest.current.onError?.(error),
    observe: (event) => latest.current.observe?.(event),
    serialize: serialize && ((value) => (latest.current.serialize ?? serialize)(value)),
    deserialize: deserialize && ((text) => (latest.current.deserialize ?? deserialize)(text)),
  })
  return { store, latest, initialState: store.getState() }
}
