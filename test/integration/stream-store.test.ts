import { getEventListeners } from "node:events"
import { reactive } from "@vue/reactivity"
import { proxy } from "valtio/vanilla"
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from "vitest"
import { DurableStream, type StreamEvent } from "../../src/index.ts"
import {
  createStreamStore,
  type StoredView,
  type StreamStore,
  type StreamStoreOptions,
} from "../../src/store/index.ts"
import { ToggledVisibility } from "../simulation/readers/toggled-visibility.ts"
import { VirtualPage } from "../simulation/readers/virtual-page.ts"
import { MemoryPersistence } from "../support/memory-persistence.ts"
import { startReferenceServer, type ReferenceServer } from "../support/reference-server.ts"

type Options = Partial<StreamStoreOptions<number[], number>>

const json = "application/json"
const quick = { backoffOptions: { initialDelay: 1, maxDelay: 20 }, saveIntervalMs: 1 }

let server: ReferenceServer
beforeAll(async () => {
  server = await startReferenceServer({ longPollTimeout: 500 })
})
afterAll(() => server.stop())

const createNumbers = (...numbers: number[]) =>
  DurableStream.create({
    url: server.streamUrl(),
    contentType: json,
    body: JSON.stringify(numbers),
  })

/** A list of a stream's numbers. */
function listOf(url: string, options: Options = {}): StreamStore<number[]> {
  const store = createStreamStore<number[], number>({
    url,
    initial: [],
    reduce: (list, n) => [...list, n],
    ...quick,
    ...options,
  })
  onTestFinished(() => store.destroy())
  return store
}

const until = async (store: StreamStore<unknown>, ...expected: unknown[]) => {
  await expect.poll(() => store.getSnapshot()).toEqual(expected)
}

/** Follows a store until the test ends. */
function follow<T>(store: StreamStore<T>): StreamStore<T> {
  onTestFinished(store.subscribe(() => undefined))
  return store
}

const recordOf = ({ stored }: MemoryPersistence) => stored as StoredView

describe("a view", () => {
  it("shows its snapshot on a server that renders a page, whose path is its url; only reading needs the page", async () => {
    const store = listOf("/v1/stream/list", { snapshot: { data: [1, 2], offset: "2" } })
    expect(store.getSnapshot()).toEqual([1, 2])
    await expect(store.refresh()).rejects.toMatchObject({ code: "BAD_REQUEST" })
    expect(() => listOf("v1.example.com/list")).toThrow("absolute")
  })

  it("is what reduce makes of the stream, and follows it", async () => {
    const handle = await createNumbers(1, 2)
    const store = follow(listOf(handle.url))
    expect([store.getSnapshot(), store.status]).toEqual([[], "loading"])
    await until(store, 1, 2)
    await handle.append(3)
    await until(store, 1, 2, 3)
    expect([store.status, store.error, store.restarted]).toEqual(["live", undefined, 0])
  })

  it("keeps the identity of its snapshot and of its state until they change", async () => {
    const handle = await createNumbers(1)
    const store = listOf(handle.url)
    const { getSnapshot, getState, subscribe } = store
    expect(getState()).toBe(getState())
    onTestFinished(subscribe(() => undefined))
    await until(store, 1)
    await expect.poll(() => getState().status).toBe("live")
    const [snapshot, state] = [getSnapshot(), getState()]
    expect(state.data).toBe(snapshot)
    await handle.append(2)
    await until(store, 1, 2)
    expect(getSnapshot()).not.toBe(snapshot)
    expect(snapshot).toEqual([1])
  })

  it.each([
    ["Vue's reactive()", (kept: { store: StreamStore<number[]> }) => reactive(kept).store],
    ["valtio's proxy()", (kept: { store: StreamStore<number[]> }) => proxy(kept).store],
  ])("works in %s, although private members do not exist on a proxy", async (_name, keep) => {
    const handle = await createNumbers(1)
    const store = keep({ store: listOf(handle.url) })
    await store.refresh()
    expect([store.getSnapshot(), store.error]).toEqual([[1], undefined])
  })

  it("has chunks of text, or of bytes, if the stream is not JSON", async () => {
    const texts = await DurableStream.create({
      url: server.streamUrl(),
      contentType: "text/plain",
      body: "abc",
    })
    const text = follow(
      createStreamStore({
        url: texts.url,
        initial: "",
        reduce: (all, chunk: string) => all + chunk,
      }),
    )
    onTestFinished(() => text.destroy())
    await texts.append("def")
    await expect.poll(() => text.getSnapshot()).toBe("abcdef")
    const bytes = await DurableStream.create({
      url: server.streamUrl(),
      contentType: "application/octet-stream",
      body: new Uint8Array([1, 2, 3]),
    })
    const length = follow(
      createStreamStore({
        url: bytes.url,
        initial: 0,
        reduce: (sum, chunk: Uint8Array) => sum + chunk.byteLength,
      }),
    )
    onTestFinished(() => length.destroy())
    await expect.poll(() => length.getSnapshot()).toBe(3)
  })

  it("requests nothing before it has a listener, stops after the last one, and continues there", async () => {
    const handle = await createNumbers(1)
    const offsets: string[] = []
    const observe = (event: StreamEvent) => {
      if (event.kind === "request") offsets.push(event.offset)
    }
    const store = listOf(handle.url, { observe })
    expect(offsets).toEqual([])
    const unsubscribe = store.subscribe(() => undefined)
    await until(store, 1)
    unsubscribe()
    unsubscribe()
    await expect.poll(() => store.status).toBe("paused")
    await handle.append(2)
    offsets.length = 0
    follow(store)
    await until(store, 1, 2)
    expect(offsets[0]).not.toBe("-1")
  })

  it("goes on reading if a listener comes back in the same turn", async () => {
    const handle = await createNumbers(1)
    const requests: string[] = []
    const observe = (event: StreamEvent) => {
      if (event.kind === "request") requests.push(event.transport)
    }
    const store = listOf(handle.url, { observe, live: "long-poll" })
    store.subscribe(() => undefined)()
    store.subscribe(() => undefined)()
    follow(store)
    await until(store, 1)
    expect(requests.filter((transport) => transport === "catch-up")).toHaveLength(1)
  })
})

describe("listeners", () => {
  it("are called at once, as Svelte expects, and whenever the view or the status changes", async () => {
    const handle = await createNumbers(1)
    const store = listOf(handle.url)
    const seen: unknown[] = []
    onTestFinished(store.subscribe((list) => seen.push([store.status, ...list])))
    expect(seen).toEqual([["loading"]])
    await handle.append(2)
    await until(store, 1, 2)
    await handle.close()
    await expect.poll(() => store.status).toBe("closed")
    expect(seen).toContainEqual(["live", 1, 2])
    expect(seen.at(-1)).toEqual(["closed", 1, 2])
  })

  it("can be the same function twice, and leave once each", async () => {
    const handle = await createNumbers(1)
    const store = listOf(handle.url)
    const listener = vi.fn()
    const [first, second] = [store.subscribe(listener), store.subscribe(listener)]
    onTestFinished(second)
    first()
    first()
    listener.mockClear()
    await until(store, 1)
    expect(listener).toHaveBeenCalled()
  })

  it("that fail do not keep others from being called", async () => {
    const logged = vi.spyOn(console, "error").mockReturnValue()
    onTestFinished(() => logged.mockRestore())
    const handle = await createNumbers(1)
    const store = listOf(handle.url)
    const unsubscribe = [
      store.subscribe(() => {
        throw new Error("of a listener")
      }),
      store.subscribe(() => Promise.reject(new Error("of an async listener")) as unknown as void),
    ]
    follow(store)
    await until(store, 1)
    for (const leave of unsubscribe) leave()
    expect(logged).toHaveBeenCalled()
  })
})

describe("the status", () => {
  it("is paused while the page is hidden", async () => {
    const handle = await createNumbers(1)
    const visibility = new ToggledVisibility()
    const store = follow(listOf(handle.url, { pauseWhenHidden: visibility }))
    await expect.poll(() => store.status).toBe("live")
    visibility.toggle(0)
    await expect.poll(() => store.status).toBe("paused")
    visibility.toggle(0)
    await expect.poll(() => store.status).toBe("live")
  })

  it.each(["sse", "long-poll"] as const)(
    "is retrying, or offline, with the error, while requests fail (%s)",
    async (live) => {
      const handle = await createNumbers(1)
      let isBroken = false
      const connections = new Set<AbortController>()
      const store = follow(
        listOf(handle.url, {
          live,
          fetch: async (input, init) => {
            if (isBroken) throw new TypeError("fetch failed")
            const connection = new AbortController()
            connections.add(connection)
            const signal = AbortSignal.any([connection.signal, init!.signal!])
            const response = await fetch(input, { ...init, signal }).catch((error: unknown) => {
              throw connection.signal.aborted ? new TypeError("fetch failed") : error
            })
            return response
          },
        }),
      )
      await expect.poll(() => store.status).toBe("live")
      isBroken = true
      for (const connection of connections) connection.abort(new TypeError("fetch failed"))
      await expect.poll(() => store.status).toBe("retrying")
      expect(store.error).toBeInstanceOf(Error)
      vi.stubGlobal("navigator", { onLine: false })
      onTestFinished(() => void vi.unstubAllGlobals())
      await expect.poll(() => store.status).toBe("offline")
      isBroken = false
      await handle.append(2)
      await until(store, 1, 2)
      await expect.poll(() => [store.status, store.error]).toEqual(["live", undefined])
    },
  )

  it("is failed with the error, until refresh() begins again", async () => {
    const url = server.streamUrl()
    const store = follow(listOf(url))
    await expect.poll(() => store.status).toBe("failed")
    expect(store.error).toMatchObject({ code: "NOT_FOUND" })
    await expect(store.refresh()).rejects.toMatchObject({ code: "NOT_FOUND" })
    expect(store.status).toBe("failed")
    await DurableStream.create({ url, contentType: json, body: "[1]" })
    await store.refresh()
    expect([store.getSnapshot(), store.status, store.error]).toEqual([[1], "live", undefined])
  })

  it("is closed at the end of a closed stream", async () => {
    const handle = await createNumbers(1)
    await handle.close()
    const store = follow(listOf(handle.url))
    await expect.poll(() => store.status).toBe("closed")
    expect(store.getSnapshot()).toEqual([1])
    await store.refresh()
    expect(store.getSnapshot()).toEqual([1])
  })
})

describe("refresh()", () => {
  it("reads up to the tail without listeners, and then stops", async () => {
    const handle = await createNumbers(1, 2)
    const store = listOf(handle.url)
    await store.refresh()
    expect(store.getSnapshot()).toEqual([1, 2])
    await expect.poll(() => store.status).toBe("paused")
    await handle.append(3)
    await Promise.all([store.refresh(), store.refresh()])
    expect(store.getSnapshot()).toEqual([1, 2, 3])
  })
})

describe("a snapshot of another store", () => {
  const snapshotOf = async (url: string) => {
    const store = listOf(url)
    await store.refresh()
    await store.destroy()
    return { data: store.getSnapshot(), offset: store.offset }
  }

  it("is shown at once, and reading continues at its offset", async () => {
    const handle = await createNumbers(1, 2)
    const snapshot = await snapshotOf(handle.url)
    await handle.append(3)
    const offsets: string[] = []
    const observe = (event: StreamEvent) => {
      if (event.kind === "request") offsets.push(event.offset)
    }
    const store = listOf(handle.url, { snapshot, observe })
    expect([store.getSnapshot(), store.status]).toEqual([[1, 2], "catching-up"])
    follow(store)
    await until(store, 1, 2, 3)
    expect(offsets[0]).toBe(snapshot.offset)
  })

  it.each(["newer", "older"])("and a record that is %s: the newer one is used", async (which) => {
    const handle = await createNumbers(1)
    const before = await snapshotOf(handle.url)
    await handle.append(2)
    const after = await snapshotOf(handle.url)
    const [stored, snapshot] = which === "newer" ? [after, before] : [before, after]
    const value = JSON.stringify(stored.data)
    const persist = new MemoryPersistence({
      version: "0",
      url: handle.url,
      offset: stored.offset,
      value,
    })
    const reduce = vi.fn<(list: number[], n: number) => number[]>((list, n) => [...list, n])
    const store = listOf(handle.url, { persist, snapshot, reduce })
    await store.refresh()
    expect(store.getSnapshot()).toEqual([1, 2])
    expect(reduce).not.toHaveBeenCalled()
  })
})

describe("a stored view", () => {
  it("is there with its offset after a restart: what was read is not read again", async () => {
    const handle = await createNumbers(1, 2)
    const persist = new MemoryPersistence()
    const before = listOf(handle.url, { persist })
    await before.refresh()
    await before.destroy()
    const { offset } = (await DurableStream.head({ url: handle.url })) as { offset: string }
    expect(persist.stored).toEqual({ version: "0", url: handle.url, offset, value: "[1,2]" })
    await handle.append(3)
    const reduced: number[] = []
    const reduce = (list: number[], n: number) => {
      reduced.push(n)
      return [...list, n]
    }
    const store = listOf(handle.url, { persist, reduce })
    const seen: unknown[] = []
    onTestFinished(store.subscribe((list) => seen.push([store.status, ...list])))
    await until(store, 1, 2, 3)
    expect(reduced).toEqual([3])
    expect(seen).toContainEqual(["catching-up", 1, 2])
  })

  it.each<[string, (record: StoredView) => unknown]>([
    ["has another version", (record) => ({ ...record, version: "1" })],
    ["is of another stream", (record) => ({ ...record, url: `${record.url}x` })],
    ["cannot be read", (record) => ({ ...record, value: "[1," })],
    ["has no offset", ({ version, url, value }) => ({ version, url, value })],
    ["has an offset that no server makes", (record) => ({ ...record, offset: "" })],
    ["is no record", () => "[]"],
  ])("is discarded if it %s, and the stream is read from its start", async (_why, change) => {
    const handle = await createNumbers(1, 2)
    const persist = new MemoryPersistence()
    const before = listOf(handle.url, { persist })
    await before.refresh()
    await before.destroy()
    persist.stored = change(JSON.parse(recordOf(persist).value && JSON.stringify(persist.stored)))
    const store = listOf(handle.url, { persist })
    await store.refresh()
    expect(store.getSnapshot()).toEqual([1, 2])
    await store.destroy()
    expect(persist.stored).toMatchObject({ version: "0", url: handle.url, value: "[1,2]" })
  })

  it("is saved at a limited rate, and when the store is destroyed", async () => {
    const handle = await createNumbers(0)
    const persist = new MemoryPersistence()
    const store = follow(listOf(handle.url, { persist, saveIntervalMs: 60_000 }))
    for (let n = 1; n < 10; n++) await handle.append(n)
    await expect.poll(() => store.getSnapshot().length).toBe(10)
    expect(persist.saves).toBe(0)
    await store.destroy()
    expect(persist.saves).toBe(1)
    expect(recordOf(persist).value).toBe("[0,1,2,3,4,5,6,7,8,9]")
  })

  it("never goes back: of two views of one record, the newer offset wins", async () => {
    const handle = await createNumbers(1)
    const persist = new MemoryPersistence()
    const slow = listOf(handle.url, { persist, saveIntervalMs: 60_000 })
    await slow.refresh()
    await handle.append(2)
    const fast = listOf(handle.url, { persist })
    await fast.refresh()
    await fast.destroy()
    await slow.destroy()
    expect(recordOf(persist).value).toBe("[1,2]")
  })

  it("names the stream without query and credentials", async () => {
    const handle = await createNumbers(1)
    const persist = new MemoryPersistence()
    const store = listOf(`${handle.url}?token=secret#secret`, {
      persist,
      params: { key: "secret" },
      headers: { authorization: "secret" },
    })
    await store.refresh()
    await store.destroy()
    expect(recordOf(persist).url).toBe(handle.url)
    expect(JSON.stringify(persist.stored)).not.toContain("secret")
  })

  it("goes on without a storage that fails, and says so", async () => {
    const handle = await createNumbers(1)
    const persist = new MemoryPersistence()
    persist.failure = new Error("the disk is full")
    const store = follow(listOf(handle.url, { persist }))
    await until(store, 1)
    await expect.poll(() => String(store.error)).toContain("could not be saved")
    expect(store.error).toMatchObject({ cause: persist.failure })
    expect(store.status).toBe("live")
    persist.failure = undefined
    await handle.append(2)
    await until(store, 1, 2)
    await expect.poll(() => store.error).toBe(undefined)
    expect(recordOf(persist).value).toBe("[1,2]")
  })

  it("is deleted by clear(), which reads the stream from its start", async () => {
    const handle = await createNumbers(1)
    const persist = new MemoryPersistence()
    const store = follow(listOf(handle.url, { persist }))
    await until(store, 1)
    await expect.poll(() => persist.saves).toBe(1)
    const cleared = store.clear()
    expect([store.getSnapshot(), store.status]).toEqual([[], "loading"])
    await cleared
    expect(persist.stored).toBe(undefined)
    await until(store, 1)
    persist.failure = new Error("the disk is broken")
    await expect(store.clear()).rejects.toMatchObject({ cause: persist.failure })
  })
})

describe("a reduce that throws", () => {
  it("ends reading; nothing is saved before the view is back at its record", async () => {
    const handle = await createNumbers(1)
    const persist = new MemoryPersistence()
    let isFaulty = true
    const store = follow(
      listOf(handle.url, {
        persist,
        // Impure on purpose: what it throws at has changed already.
        reduce: (list, n) => {
          list.push(n)
          if (n === 3 && isFaulty) throw new Error("three")
          return list
        },
        initial: [],
      }),
    )
    await until(store, 1)
    await expect.poll(() => persist.saves).toBe(1)
    await handle.append(2)
    await expect.poll(() => persist.saves).toBe(2)
    await handle.append(3)
    await expect.poll(() => [store.status, String(store.error)]).toEqual(["failed", "Error: three"])
    expect(recordOf(persist).value).toBe("[1,2]")
    isFaulty = false
    await store.refresh()
    expect(store.getSnapshot()).toEqual([1, 2, 3])
    await expect.poll(() => recordOf(persist).value).toBe("[1,2,3]")
  })

  it("keeps nothing of its batch", async () => {
    const handle = await createNumbers(1, 2, 3)
    const persist = new MemoryPersistence()
    const reduce = (list: number[], n: number) => {
      if (n === 2) throw new Error("two")
      return [...list, n]
    }
    const store = listOf(handle.url, { persist, reduce })
    await expect(store.refresh()).rejects.toThrow("two")
    expect(store.getSnapshot()).toEqual([])
    await store.destroy()
    expect(persist.stored).toBe(undefined)
  })
})

describe("a view that does not survive the codec", () => {
  const read = async (options: Partial<StreamStoreOptions<unknown, number>>) => {
    const handle = await createNumbers(1)
    const persist = new MemoryPersistence()
    const store = createStreamStore<unknown, number>({
      url: handle.url,
      initial: undefined,
      reduce: (_before, n) => n,
      persist,
      ...quick,
      ...options,
    })
    await store.refresh()
    await store.destroy()
    return { store, persist }
  }

  it.each<[string, unknown]>([
    [" (at .users)", { users: new Map([[1, 2]]) }],
    [" (at .at)", { at: new Date(0) }],
    [" (at .list.1)", { list: [1, undefined] }],
    [" (at .n)", { n: Number.NaN }],
    [" (at its root)", new Set([1])],
    [" (at its root)", Object.assign(Object.create({ method() {} }), { n: 1 })],
    ["", undefined],
    ["", { big: 1n }],
  ])("is rejected at the first save%s", async (where, view) => {
    const { store, persist } = await read({ reduce: () => view })
    expect([store.status, persist.saves]).toEqual(["failed", 0])
    expect(store.error).toMatchObject({ code: "BAD_REQUEST" })
    expect(String(store.error)).toContain(`${where} does not survive the options serialize and`)
  })

  it("is stored by a codec that it survives", async () => {
    const { store, persist } = await read({
      reduce: () => new Map([["a", { at: new Date(5) }]]),
      serialize: (view) =>
        JSON.stringify([...(view as Map<string, { at: Date }>)].map(([key, { at }]) => [key, +at])),
      deserialize: (text) =>
        new Map(
          (JSON.parse(text) as [string, number][]).map(([key, at]) => [key, { at: new Date(at) }]),
        ),
    })
    expect([store.error, recordOf(persist).value]).toEqual([undefined, '[["a",5]]'])
  })

  it("may hold undefined properties and objects without a prototype", async () => {
    const view = { a: undefined, b: Object.assign(Object.create(null), { c: 1 }), d: null }
    const { store, persist } = await read({ reduce: () => view })
    expect([store.error, recordOf(persist).value]).toEqual([undefined, '{"b":{"c":1},"d":null}'])
  })
})

describe("a stream that was deleted and created again", () => {
  const recreate = async (url: string, ...numbers: number[]) => {
    await DurableStream.delete({ url })
    await DurableStream.create({ url, contentType: json, body: JSON.stringify(numbers) })
  }

  it("is read from its start if it does not know the stored offset", async () => {
    const { url } = await createNumbers(1, 2, 3)
    const persist = new MemoryPersistence()
    const before = listOf(url, { persist })
    await before.refresh()
    await before.destroy()
    await recreate(url, 7)
    const store = follow(listOf(url, { persist }))
    await until(store, 7)
    expect([store.status, store.restarted]).toEqual(["live", 1])
    await expect.poll(() => recordOf(persist)?.value).toBe("[7]")
  })

  it("is read from its start if that is seen while it is followed", async () => {
    const { url } = await createNumbers(1, 2, 3)
    const persist = new MemoryPersistence()
    const store = follow(listOf(url, { persist, live: "long-poll" }))
    await until(store, 1, 2, 3)
    await expect.poll(() => store.status).toBe("live")
    await recreate(url, 7)
    await until(store, 7)
    expect(store.restarted).toBe(1)
    await expect.poll(() => recordOf(persist)?.value).toBe("[7]")
  })

  it("keeps the last view, but not its record, if there is none any more", async () => {
    const { url } = await createNumbers(1)
    const persist = new MemoryPersistence()
    const store = follow(listOf(url, { live: "long-poll", persist }))
    await until(store, 1)
    await expect.poll(() => persist.saves).toBe(1)
    await DurableStream.delete({ url })
    await expect.poll(() => store.status).toBe("failed")
    expect(store.error).toMatchObject({ code: "NOT_FOUND" })
    expect([store.getSnapshot(), store.restarted]).toEqual([[1], 0])
    expect(persist.stored).toBe(undefined)
    // The new stream has an offset like the one that was stored.
    await DurableStream.create({ url, contentType: json, body: "[8,9]" })
    await store.refresh()
    expect([store.getSnapshot(), store.restarted]).toEqual([[8, 9], 1])
  })
})

describe("destroy()", () => {
  it("ends reading, listening and waiting", async () => {
    const handle = await createNumbers(1)
    const store = listOf(handle.url)
    const listener = vi.fn()
    store.subscribe(listener)
    await until(store, 1)
    const refreshed = store.refresh()
    await store.destroy()
    listener.mockClear()
    await expect(refreshed).rejects.toMatchObject({ code: "ALREADY_CLOSED" })
    await handle.append(2)
    store.subscribe(listener)()
    expect(listener).toHaveBeenCalledTimes(1)
    expect(store.getSnapshot()).toEqual([1])
    await expect(store.refresh()).rejects.toMatchObject({ code: "ALREADY_CLOSED" })
    await store[Symbol.asyncDispose]()
  })

  it("followed by clear() leaves no record", async () => {
    const handle = await createNumbers(1)
    const persist = new MemoryPersistence()
    const store = follow(listOf(handle.url, { persist, saveIntervalMs: 60_000 }))
    await until(store, 1)
    await Promise.all([store.destroy(), store.clear()])
    expect([persist.stored, store.getSnapshot()]).toEqual([undefined, []])
  })

  it("leaves no listener on the page or the signal, as the last listener does that leaves", async () => {
    const page = new VirtualPage()
    onTestFinished(() => page.remove())
    const handle = await createNumbers(1)
    const { signal } = new AbortController()
    const listenerCount = () => page.listenerCount + getEventListeners(signal, "abort").length
    const store = listOf(handle.url, { signal, persist: new MemoryPersistence() })
    const unsubscribe = store.subscribe(() => undefined)
    await until(store, 1)
    expect(listenerCount()).toBeGreaterThan(0)
    unsubscribe()
    await expect.poll(listenerCount).toBe(0)
    follow(store)
    await expect.poll(listenerCount).toBeGreaterThan(0)
    await store.destroy()
    expect(listenerCount()).toBe(0)
  })

  it("is done by the signal", async () => {
    const handle = await createNumbers(1)
    const { signal, abort } = toAbort()
    const store = follow(listOf(handle.url, { signal }))
    await until(store, 1)
    abort()
    await expect.poll(() => store.refresh().catch(String)).toContain("is destroyed")
  })
})

function toAbort() {
  const controller = new AbortController()
  return { signal: controller.signal, abort: () => controller.abort() }
}

describe("an option", () => {
  it.each<[string, Record<string, unknown>]>([
    ["reduce", { reduce: undefined }],
    ["reduce", { reduce: 5 }],
    ["persist", { persist: "key" }],
    ["version", { version: {} }],
    ["snapshot", { snapshot: { data: 1 } }],
    ["serialize", { serialize: "json" }],
    ["serialize", { serialize: JSON.stringify }],
    ["deserialize", { deserialize: 1 }],
    ["saveIntervalMs", { saveIntervalMs: -1 }],
    ["live", { live: false }],
    ["url", { url: "ftp://example.com" }],
    ["headers", { headers: 5 }],
  ])("%s that cannot be what it is is rejected by name: %j", (name, options) => {
    const create = () =>
      createStreamStore({
        url: "https://example.com",
        initial: 0,
        reduce: (n: number) => n,
        ...options,
      })
    expect(create).toThrow(new RegExp(`The option ${name}`))
  })
})
