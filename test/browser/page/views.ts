import { createElement, StrictMode } from "react"
import { createRoot } from "react-dom/client"
import type { StreamEvent } from "@durable-streams/client"
import { useDurableStream } from "@durable-streams/client/react"
import {
  createStreamStore,
  indexedDbPersistence,
  localStoragePersistence,
} from "@durable-streams/client/store"

/** What a view has shown so far, and where it has read from. */
export interface ViewRecord {
  readonly shown: { readonly status: string; readonly numbers: readonly number[] }[]
  readonly offsets: string[]
  error?: string
}

export const views: Record<string, ViewRecord> = {}

const reduce = (numbers: readonly number[], n: number) => [...numbers, n]

export function view(name: string, url: string, storage: "localStorage" | "IndexedDB"): void {
  const record: ViewRecord = { shown: [], offsets: [] }
  views[name] = record
  const key = `ada/${new URL(url).pathname}`
  const store = createStreamStore({
    url,
    initial: [] as readonly number[],
    reduce,
    persist: storage === "IndexedDB" ? indexedDbPersistence(key) : localStoragePersistence(key),
    // Longer than a test: what is saved, the page saves when it is hidden or goes away.
    saveIntervalMs: storage === "IndexedDB" ? 20 : 600_000,
    observe: (event: StreamEvent) => {
      if (event.kind === "request") record.offsets.push(event.offset)
    },
  })
  store.subscribe((numbers) => {
    record.shown.push({ status: store.status, numbers })
    if (store.error !== undefined) record.error = String(store.error)
  })
}

export function showList(url: string): void {
  const List = () => {
    const { data, status } = useDurableStream({
      url,
      initial: [] as readonly number[],
      reduce,
      persist: localStoragePersistence(`ada/list/${url}`),
      saveIntervalMs: 10,
    })
    return createElement("p", { id: "list" }, `${status}: ${data.join()}`)
  }
  const container = document.body.appendChild(document.createElement("main"))
  createRoot(container).render(createElement(StrictMode, undefined, createElement(List)))
}
