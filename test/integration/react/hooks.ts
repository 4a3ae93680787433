import type * as React from "react"
import type { FunctionComponent, ReactNode } from "react"
import type * as Client from "react-dom/client"
import type { Root } from "react-dom/client"
import type * as Server from "react-dom/server"
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest"
import { DurableStream } from "../../../src/index.ts"
import type * as Hooks from "../../../src/react/index.ts"
import type { UseDurableStreamOptions } from "../../../src/react/index.ts"
import { localStoragePersistence, type StoredView } from "../../../src/store/index.ts"
import { startReferenceServer, type ReferenceServer } from "../../support/reference-server.ts"

/** A version of React, and the hooks on it. */
export interface ReactVersion {
  readonly react: typeof React
  readonly client: typeof Client
  readonly server: typeof Server
  readonly hooks: typeof Hooks
}

type Options = UseDurableStreamOptions<number[], number>

const json = "application/json"

/** What the hooks do, whatever the version of React. */
export function itHooksInto({ react, client, server: rendering, hooks }: ReactVersion): void {
  const { createElement, StrictMode } = react
  let server: ReferenceServer
  let root: Root | undefined
  let container: HTMLElement
  const failures: unknown[] = []
  const onUnhandled = (reason: unknown) => void failures.push(reason)
  beforeAll(async () => {
    server = await startReferenceServer({ longPollTimeout: 500 })
    process.on("unhandledRejection", onUnhandled)
  })
  afterAll(async () => {
    process.off("unhandledRejection", onUnhandled)
    await server.stop()
  })
  beforeEach(() => {
    container = document.body.appendChild(document.createElement("main"))
    vi.spyOn(console, "error").mockImplementation((...args: unknown[]) => void failures.push(args))
  })
  afterEach(async () => {
    root?.unmount()
    root = undefined
    container.remove()
    localStorage.clear()
    // A rejection that is not handled is reported in a later turn.
    await new Promise((resolve) => void setTimeout(resolve, 5))
    vi.restoreAllMocks()
    expect(failures.splice(0)).toEqual([])
  })

  const createNumbers = (...numbers: number[]) =>
    DurableStream.create({
      url: server.streamUrl(),
      contentType: json,
      body: JSON.stringify(numbers),
    })
  const listOf = (options: Partial<Options> & Pick<Options, "url">): Options => ({
    initial: [],
    reduce: (list, n) => [...list, n],
    saveIntervalMs: 1,
    ...options,
  })
  const render = (node: ReactNode) => {
    root ??= client.createRoot(container)
    root.render(createElement(StrictMode, undefined, node))
  }
  const untilText = (text: string) => expect.poll(() => container.textContent).toBe(text)

  /** A component that shows a list and its status. */
  const List: FunctionComponent<{ options: Options; onRender?: (text: string) => void }> = ({
    options,
    onRender,
  }) => {
    const { data, status } = hooks.useDurableStream(options)
    const text = `${status}: ${data.join()}`
    onRender?.(text)
    return text
  }

  /** Requests that are counted, and whether each was given up. */
  const countedFetch = () => {
    const requests: { url: string; signal: AbortSignal }[] = []
    const counted: typeof fetch = (input, init) => {
      requests.push({ url: String(input), signal: init!.signal! })
      return fetch(input, init)
    }
    return { requests, fetch: counted }
  }

  describe("useDurableStream", () => {
    it("shows the view and follows it; StrictMode's double mount reads once", async () => {
      const handle = await createNumbers(1, 2)
      const { requests, fetch } = countedFetch()
      render(createElement(List, { options: listOf({ url: handle.url, fetch }) }))
      await untilText("live: 1,2")
      await handle.append(3)
      await untilText("live: 1,2,3")
      expect(requests.filter(({ url }) => url.includes("offset=-1"))).toHaveLength(1)
      await handle.close()
      await untilText("closed: 1,2,3")
    })

    it("never shows the data of another url, however fast it changes", async () => {
      const handles = await Promise.all([10, 20, 30].map((n) => createNumbers(n)))
      const { requests, fetch } = countedFetch()
      const seen: string[] = []
      const show = (index: number) => {
        const { url } = handles[index]!
        const onRender = (text: string) => seen.push(`${index} ${text}`)
        render(createElement(List, { options: listOf({ url, fetch }), onRender }))
      }
      show(0)
      await untilText("live: 10")
      for (const index of [1, 2, 0, 1, 2]) {
        show(index)
        await new Promise((resolve) => void setTimeout(resolve, 2 * index))
      }
      await untilText("live: 30")
      const wrong = seen.filter((text) => /0 .*[23]0|1 .*[13]0|2 .*[12]0/.test(text))
      expect(wrong).toEqual([])
      const current = handles[2]!.url
      const old = () =>
        requests.filter(({ url, signal }) => !url.startsWith(current) && !signal.aborted)
      await expect.poll(() => old().filter(({ url }) => url.includes("live="))).toEqual([])
    })

    it("keeps its view if the options are new objects, and calls the functions of the last render", async () => {
      const handle = await createNumbers(1)
      const { requests, fetch } = countedFetch()
      const seenHeaders: string[] = []
      const show = (factor: number) => {
        const options = listOf({
          url: new URL(handle.url),
          headers: { "x-factor": () => String(factor) },
          params: { factor: String(factor) },
          reduce: (list, n) => [...list, n * factor],
          live: "long-poll",
          fetch: (input, init) => {
            seenHeaders.push(`${factor} ${new Headers(init!.headers).get("x-factor")}`)
            return fetch(input, init)
          },
        })
        render(createElement(List, { options }))
      }
      show(1)
      await untilText("live: 1")
      for (const factor of [2, 3, 10]) show(factor)
      await expect.poll(() => requests.at(-1)!.url).toContain("factor=10")
      await handle.append(2)
      await untilText("live: 1,20")
      expect(requests.filter(({ url }) => url.includes("offset=-1"))).toHaveLength(1)
      expect(seenHeaders[0]).toBe("1 1")
      expect(seenHeaders.at(-1)).toBe("10 10")
    })

    it("starts over at once with the record of another user", async () => {
      const handle = await createNumbers(1)
      const seen: string[] = []
      const show = (user: string) => {
        const persist = localStoragePersistence(`${user}/list`)
        const onRender = (text: string) => seen.push(`${user} ${text}`)
        render(createElement(List, { options: listOf({ url: handle.url, persist }), onRender }))
      }
      show("ada")
      await untilText("live: 1")
      show("grace")
      await expect.poll(() => seen).toContain("grace loading: ")
      expect(seen.find((text) => text.startsWith("grace"))).toBe("grace loading: ")
      await untilText("live: 1")
    })

    it("renders `initial` on the server without a request, hydrates it, and goes on", async () => {
      const handle = await createNumbers(1)
      const { requests, fetch } = countedFetch()
      const options = listOf({ url: handle.url, fetch, initial: [0] })
      const node = createElement(StrictMode, undefined, createElement(List, { options }))
      const html = rendering.renderToString(node)
      expect([html, requests]).toEqual(["loading: 0", []])
      container.innerHTML = html
      root = client.hydrateRoot(container, node, {
        onRecoverableError: (error) => void failures.push(error),
      })
      await untilText("live: 0,1")
    })

    it("shows what reading failed with, and reads on after refresh()", async () => {
      const url = server.streamUrl()
      const Refreshable = () => {
        const { data, status, error, refresh, clear } = hooks.useDurableStream(listOf({ url }))
        const code = (error as { code?: string } | undefined)?.code
        return createElement(
          react.Fragment,
          undefined,
          createElement("button", { onClick: () => void refresh() }),
          createElement("button", { onClick: () => void clear() }),
          createElement("p", undefined, [status, code, ...data].join()),
        )
      }
      render(createElement(Refreshable))
      await untilText("failed,NOT_FOUND")
      const [refresh, clear] = container.querySelectorAll("button")
      refresh!.click()
      await untilText("failed,NOT_FOUND")
      await DurableStream.create({ url, contentType: json, body: "[1]" })
      refresh!.click()
      await untilText("live,,1")
      clear!.click()
      await untilText("live,,1")
    })

    it("leaves nothing when it is unmounted: the view is saved, no request goes on", async () => {
      const handle = await createNumbers(1)
      const { requests, fetch } = countedFetch()
      const persist = localStoragePersistence("ada/list")
      const options = listOf({ url: handle.url, fetch, persist, saveIntervalMs: 60_000 })
      render(createElement(List, { options }))
      await untilText("live: 1")
      root!.unmount()
      root = undefined
      await expect.poll(() => stored("ada/list")?.value).toBe("[1]")
      expect(requests.filter(({ signal }) => !signal.aborted && isLive(signal, requests))).toEqual(
        [],
      )
      const count = requests.length
      await handle.append(2)
      await new Promise((resolve) => void setTimeout(resolve, 20))
      expect(requests).toHaveLength(count)
      render(createElement(List, { options }))
      await untilText("live: 1,2")
      expect(requests[count]!.url).not.toContain("offset=-1")
    })

    it("saves in the same turn in which the page is hidden", async () => {
      const handle = await createNumbers(1)
      const persist = localStoragePersistence("ada/hidden")
      render(
        createElement(List, {
          options: listOf({ url: handle.url, persist, saveIntervalMs: 60_000 }),
        }),
      )
      await untilText("live: 1")
      expect(stored("ada/hidden")).toBe(undefined)
      const hidden = vi.spyOn(document, "visibilityState", "get").mockReturnValue("hidden")
      document.dispatchEvent(new Event("visibilitychange"))
      expect(stored("ada/hidden")?.value).toBe("[1]")
      await untilText("paused: 1")
      hidden.mockRestore()
      document.dispatchEvent(new Event("visibilitychange"))
      await untilText("live: 1")
    })

    it("throws a bad option while rendering", () => {
      const options = listOf({ url: "https://example.com", saveIntervalMs: -1 })
      expect(() => rendering.renderToString(createElement(List, { options }))).toThrow(
        "saveIntervalMs",
      )
    })
  })

  describe("useStreamWriter", () => {
    type Writer = ReturnType<typeof hooks.useStreamWriter>
    let writer: Writer
    const Composer: FunctionComponent<Parameters<typeof hooks.useStreamWriter>[0]> = (options) => {
      writer = hooks.useStreamWriter(options)
      const code = (writer.error as { code?: string } | undefined)?.code ?? "ok"
      return `${writer.pendingCount} pending, ${code}`
    }
    const messagesOf = async (url: string) =>
      (await new DurableStream({ url }).stream({ live: false })).json()

    it("stores what is appended once and in order, and counts what is pending", async () => {
      const { url } = await createNumbers()
      let release: () => void = () => undefined
      const released = new Promise<void>((resolve) => void (release = resolve))
      const held: typeof fetch = (input, init) => released.then(() => fetch(input, init))
      render(createElement(Composer, { url, contentType: json, fetch: held }))
      await untilText("0 pending, ok")
      const { append } = writer
      const results = Array.from({ length: 20 }, (_, n) => append(n))
      await untilText("20 pending, ok")
      release()
      await Promise.all(results)
      await untilText("0 pending, ok")
      expect(writer.append).toBe(append)
      expect(await messagesOf(url)).toEqual(Array.from({ length: 20 }, (_, n) => n))
    })

    it("has the error of a message that no caller waits for, until a later one is stored", async () => {
      const { url } = await createNumbers()
      render(createElement(Composer, { url, contentType: json }))
      await untilText("0 pending, ok")
      void writer.append(undefined)
      await untilText("0 pending, PARSE_ERROR")
      void writer.append(1)
      await untilText("0 pending, ok")
      expect(await messagesOf(url)).toEqual([1])
    })

    it("continues after a failure with retry(), which sends what is certainly not stored", async () => {
      const { url } = await createNumbers()
      let isBroken = true
      const onError = vi.fn()
      const failing: typeof fetch = (input, init) =>
        isBroken && init?.method === "POST"
          ? Promise.resolve(new Response("", { status: 401 }))
          : fetch(input, init)
      render(createElement(Composer, { url, contentType: json, fetch: failing, onError }))
      await untilText("0 pending, ok")
      void writer.append(1)
      void writer.append(2)
      await untilText("0 pending, UNAUTHORIZED")
      await expect(writer.append(3)).rejects.toMatchObject({ code: "UNAUTHORIZED" })
      expect(onError).toHaveBeenCalledTimes(1)
      isBroken = false
      expect(writer.retry()).toEqual([])
      await untilText("0 pending, ok")
      expect(writer.retry()).toEqual([])
      expect(await messagesOf(url)).toEqual([1, 2])
    })

    it("delivers what was appended if the component is gone, or shows another stream", async () => {
      const [first, second] = [await createNumbers(), await createNumbers()]
      render(createElement(Composer, { url: first.url, contentType: json }))
      await untilText("0 pending, ok")
      void writer.append(1)
      render(createElement(Composer, { url: second.url, contentType: json }))
      await expect.poll(() => messagesOf(first.url)).toEqual([1])
      void writer.append(2)
      const { append } = writer
      root!.unmount()
      root = undefined
      await append(3)
      expect(await messagesOf(second.url)).toEqual([2, 3])
    })

    it("keeps what it could not deliver for retry(), also if that was appended before it was mounted", async () => {
      const { url } = await createNumbers()
      let isBroken = true
      const failing: typeof fetch = (input, init) =>
        isBroken ? Promise.resolve(new Response("", { status: 401 })) : fetch(input, init)
      let sent: Promise<unknown> | undefined
      const Early = () => {
        const early = hooks.useStreamWriter({ url, contentType: json, fetch: failing })
        react.useLayoutEffect(() => void (sent ??= early.append(1)), [])
        writer = early
        return null
      }
      root = client.createRoot(container)
      root.render(createElement(Early))
      await expect.poll(() => sent !== undefined).toBe(true)
      await expect(sent).rejects.toMatchObject({ code: "UNAUTHORIZED" })
      isBroken = false
      await expect.poll(() => writer.error).toBeDefined()
      expect(writer.retry()).toEqual([])
      await expect.poll(() => messagesOf(url)).toEqual([1])
    })

    it("renders on the server without a request", () => {
      const failing = vi.fn()
      const node = createElement(Composer, { url: "https://example.com/s", fetch: failing })
      expect(rendering.renderToString(node)).toBe("0 pending, ok")
      expect(failing).not.toHaveBeenCalled()
    })
  })
}

const stored = (key: string) =>
  (JSON.parse(localStorage.getItem(key) ?? "null") as StoredView | undefined) ?? undefined

/** The last request of a session is its live one. */
const isLive = (signal: AbortSignal, requests: readonly { signal: AbortSignal; url: string }[]) =>
  requests.some((request) => request.signal === signal && request.url.includes("live="))
