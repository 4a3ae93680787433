import { DurableStream } from "../../src/index.ts"
import { expect, it, onTestFinished } from "vitest"
import { startCorsProxy } from "../support/cors-proxy.ts"
import { respond, startMisbehavingServer } from "../support/misbehaving-server.ts"
import { describeInBrowser } from "./browser-tests.ts"

const TEXT = "žluťoučký kůň 🐎\r\n  two spaces\n"
const BYTES = Array.from({ length: 256 }, (_, i) => i)

describeInBrowser("Reading in a browser, from another origin", (world) => {
  const create = (contentType: string) =>
    DurableStream.create({ url: world.server.streamUrl(), contentType })

  it("gathers what is stored, as JSON, text and bytes", async () => {
    const json = await create("application/json")
    for (const n of [1, 2, 3]) await json.append({ n })
    const text = await create("text/plain; charset=utf-8")
    await text.append(TEXT)
    const bytes = await create("application/octet-stream")
    await bytes.append(Uint8Array.from(BYTES))
    const { page } = await world.open()
    const gathered = await page.evaluate(
      async ([jsonUrl, textUrl, bytesUrl]) => {
        const { stream } = window.testPage.client
        const live = false
        return {
          json: await (await stream({ url: jsonUrl, live })).json(),
          text: await (await stream({ url: textUrl, live })).text(),
          bytes: [...(await (await stream({ url: bytesUrl, live })).body())],
        }
      },
      [json.url, text.url, bytes.url] as const,
    )
    expect(gathered).toEqual({ json: [{ n: 1 }, { n: 2 }, { n: 3 }], text: TEXT, bytes: BYTES })
  })

  it("follows pages and resumes at an offset", async () => {
    const handle = await create("application/json")
    await handle.append(1)
    const { offset = "" } = await handle.head()
    for (const n of [2, 3]) await handle.append(n)
    const { page } = await world.open()
    const rest = await page.evaluate(
      async ([url, from]) => {
        const response = await window.testPage.client.stream({ url, offset: from, live: false })
        return { items: await response.json(), offset: response.offset }
      },
      [handle.url, offset] as const,
    )
    expect(rest.items).toEqual([2, 3])
    expect(rest.offset).toBe(((await handle.head()) as { offset: string }).offset)
  })

  it.each(["sse", "long-poll"] as const)("tails JSON by %s to the end", async (live) => {
    const handle = await create("application/json")
    await handle.append({ n: 1 })
    const tab = await world.open()
    const tail = await tab.tail({ url: handle.url, live, as: "json" })
    await tail.until(({ upToDate }) => upToDate)
    await handle.append({ n: 2 })
    await tail.until(({ items }) => items.length === 2)
    await handle.close({ body: { n: 3 } })
    const record = await tail.until(({ end }) => end !== undefined)
    expect(record.items).toEqual([{ n: 1 }, { n: 2 }, { n: 3 }])
    expect(record.end).toBe("ended")
    expect(transportsOf(record.events)).toEqual(["catch-up", live])
  })

  it.each([
    // SSE cannot carry CR.
    ["sse", TEXT.replaceAll("\r\n", "\n")],
    ["long-poll", TEXT],
  ] as const)("tails text over %s", async (live, expected) => {
    const handle = await create("text/plain; charset=utf-8")
    const tab = await world.open()
    const tail = await tab.tail({ url: handle.url, live, as: "text" })
    await tail.until(({ upToDate }) => upToDate)
    await handle.append(TEXT)
    await tail.until(({ text }) => text.length >= expected.length)
    await handle.append(TEXT)
    await handle.close()
    const record = await tail.until(({ end }) => end !== undefined)
    expect(record.text).toBe(expected + expected)
    expect(record.end).toBe("ended")
  })

  it("tails bytes by SSE, though it is not shown that they are base64", async () => {
    const handle = await create("application/octet-stream")
    const tab = await world.open()
    const responded = tab.page.waitForResponse((response) => response.url().includes("live=sse"))
    const tail = await tab.tail({ url: handle.url, live: "sse", as: "bytes" })
    await tail.until(({ upToDate }) => upToDate)
    // The browser knows the header and keeps it from the page.
    const headers = await (await responded).allHeaders()
    expect(headers["stream-sse-data-encoding"]).toBe("base64")
    expect(headers["access-control-expose-headers"] ?? "").not.toMatch(/sse-data-encoding/i)
    await handle.append(Uint8Array.from(BYTES))
    await tail.until(({ items }) => items.length === BYTES.length)
    await handle.append(Uint8Array.from(BYTES))
    await handle.close()
    const record = await tail.until(({ end }) => end !== undefined)
    expect(record.items).toEqual([...BYTES, ...BYTES])
    expect(transportsOf(record.events)).toEqual(["catch-up", "sse"])
  })

  it("needs no more than Stream-Next-Offset and Stream-Up-To-Date to be exposed for SSE", async () => {
    const proxy = await startCorsProxy(world.server.url, [
      "Stream-Next-Offset",
      "Stream-Up-To-Date",
    ])
    onTestFinished(() => proxy.stop())
    const handle = await create("application/json")
    await handle.append(1)
    const tab = await world.open()
    const url = handle.url.replace(world.server.url, proxy.url)
    const tail = await tab.tail({ url, as: "json" })
    await tail.until(({ upToDate }) => upToDate)
    await handle.append(2)
    await tail.until(({ items }) => items.length === 2)
    await handle.close()
    const record = await tail.until(({ end }) => end !== undefined)
    expect([record.items, record.end]).toEqual([[1, 2], "ended"])
  })

  it("says what to expose where the offset is hidden", async () => {
    const proxy = await startCorsProxy(world.server.url, [])
    onTestFinished(() => proxy.stop())
    const handle = await create("application/json")
    await handle.append(1)
    const tab = await world.open()
    const url = handle.url.replace(world.server.url, proxy.url)
    const tail = await tab.tail({ url, as: "json" })
    const { end } = await tail.until((record) => record.end !== undefined)
    expect(end).toMatch(/Stream-Next-Offset.*Access-Control-Expose-Headers/)
  })

  it("ends, and says why, where the up-to-date header is hidden", async () => {
    const proxy = await startCorsProxy(world.server.url, ["Stream-Next-Offset"])
    onTestFinished(() => proxy.stop())
    const handle = await create("application/json")
    await handle.append(1)
    const tab = await world.open()
    const url = handle.url.replace(world.server.url, proxy.url)
    const tail = await tab.tail({
      url,
      as: "json",
      backoffOptions: { initialDelay: 1, maxDelay: 1, multiplier: 1, maxRetries: 3 },
    })
    const record = await tail.until(({ end }) => end !== undefined)
    expect(record.items).toEqual([1])
    expect(record.end).toMatch(/Stream-Up-To-Date/)
  })

  it("resolves a relative url against the page", async () => {
    const handle = await create("application/json")
    await handle.append(1)
    const tab = await world.open()
    await tab.page.goto(handle.url)
    await tab.page.addScriptTag({ url: `${world.pageUrl}/page.js` })
    const path = new URL(handle.url).pathname
    const items = await tab.page.evaluate(async (url) => {
      const response = await window.testPage.client.stream({ url, live: false })
      return response.json()
    }, path)
    expect(items).toEqual([1])
  })

  it("tells a refused preflight from a stream that is not there", async () => {
    const server = await startMisbehavingServer(respond(403))
    onTestFinished(() => server.stop())
    const { page } = await world.open()
    const outcome = await page.evaluate(
      async ([blocked, missing]) => {
        const { stream, FetchError } = window.testPage.client
        const codeOf = (error: unknown) => error instanceof FetchError && [error.code, error.status]
        const backoffOptions = { maxRetries: 0 }
        const headers = { authorization: "Bearer x" }
        return [
          await stream({ url: blocked, headers, backoffOptions }).catch(codeOf),
          await stream({ url: missing, headers, backoffOptions }).catch(codeOf),
        ] as unknown[]
      },
      [`${server.url}/blocked`, world.server.streamUrl()] as const,
    )
    expect(outcome).toEqual([
      ["NETWORK", 0],
      ["NOT_FOUND", 404],
    ])
  })
})

function transportsOf(events: readonly { kind: string; transport?: string }[]): string[] {
  const used = events.flatMap(({ kind, transport }) =>
    kind === "response" && transport !== undefined ? [transport] : [],
  )
  return [...new Set(used)]
}
