import type { ReactNode } from "react"

type Fetch = typeof globalThis.fetch
type AppStateStatus = "active" | "background"

/** What the examples use of React Native, on the DOM. */
class EmulatedAppState {
  currentState: AppStateStatus = "active"
  readonly #listeners = new Set<(state: AppStateStatus) => void>()

  get listenerCount(): number {
    return this.#listeners.size
  }

  addEventListener(_type: "change", listener: (state: AppStateStatus) => void) {
    this.#listeners.add(listener)
    return { remove: () => void this.#listeners.delete(listener) }
  }

  change(state: AppStateStatus): void {
    this.currentState = state
    for (const listener of [...this.#listeners]) listener(state)
  }
}

export const AppState = new EmulatedAppState()

export function Text({ children }: { children?: ReactNode }) {
  return <span>{children}</span>
}

export function FlatList<T>(props: {
  data: readonly T[]
  renderItem: (info: { item: T; index: number }) => ReactNode
}) {
  const { data, renderItem } = props
  return (
    <ul>
      {data.map((item, index) => (
        <li key={index}>{renderItem({ item, index })}</li>
      ))}
    </ul>
  )
}

/** Its globals besides those without which no client is possible: no document, no ReadableStream, no TextDecoder, no AbortSignal. */
export const reactNativeGlobals = (): Record<string, unknown> => ({
  navigator: { product: "ReactNative" },
  ...{ console, performance, TextEncoder, Headers, Request, Response, queueMicrotask },
})

/** A fetch like that of React Native: its responses have no stream. */
export const wholeFetch: Fetch = async (input, init) => {
  const response = await fetch(input, init)
  const bytes = await response.arrayBuffer()
  const text = async () => new TextDecoder().decode(bytes)
  const { status, statusText, ok, headers, url } = response
  const whole = { status, statusText, ok, headers, url, bodyUsed: false, body: undefined, text }
  const json = async () => JSON.parse(await text()) as unknown
  return Object.assign(whole, { json, arrayBuffer: async () => bytes }) as unknown as Response
}
