import { execFile, spawn } from "node:child_process"
import { once } from "node:events"
import { createServer, get as httpGet } from "node:http"
import type { AddressInfo } from "node:net"
import { join } from "node:path"
import { promisify } from "node:util"
import { chromium, type Browser } from "playwright-core"
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest"
import { DurableStream } from "../../src/index.ts"
import { CHROMIUM_FLAGS, findChromium } from "../browser/chromium.ts"
import { freePort, untilPrinted } from "../support/child-server.ts"
import { startReferenceServer, type ReferenceServer } from "../support/reference-server.ts"

const folder = inject("nextFolder")
const executablePath = findChromium()
const TOKEN = "the-token-of-the-server"

describe.skipIf(folder === undefined || executablePath === undefined)("the example of Next", () => {
  let browser: Browser
  let server: ReferenceServer
  let streams: Awaited<ReturnType<typeof startGateway>>
  let site: { readonly url: string; stop(): Promise<void> }
  let room: DurableStream

  beforeAll(async () => {
    const args = [...CHROMIUM_FLAGS]
    browser = await chromium.launch({ executablePath: executablePath!, args })
    server = await startReferenceServer()
    room = await DurableStream.create({
      url: server.streamUrl("room"),
      contentType: "application/json",
      body: [{ text: "stored" }],
    })
    streams = await startGateway(room.url)
    site = await startNext(folder!, { STREAMS_URL: streams.url, STREAMS_TOKEN: TOKEN })
  }, 300_000)
  afterAll(async () => {
    await browser?.close()
    await site?.stop()
    streams?.stop()
    await server?.stop()
  })

  it("has what is stored in its first HTML, and follows from there: each message once, and no error", async () => {
    const html = await (await fetch(site.url)).text()
    expect(html).toContain("<p>stored</p>")
    expect(html).not.toContain(TOKEN)

    const page = await browser.newPage()
    const complaints: string[] = []
    const requests: URL[] = []
    page.on("pageerror", (error) => complaints.push(error.message))
    page.on("console", (message) => {
      if (["warning", "error"].includes(message.type())) complaints.push(message.text())
    })
    page.on("request", (request) => {
      if (request.url().includes("/streams/")) requests.push(new URL(request.url()))
    })
    const texts = () => page.locator("main p").allInnerTexts()
    await page.goto(site.url)
    await page.locator("main[aria-busy=false]").waitFor()
    expect(await texts()).toEqual(["stored"])
    for (const text of ["first", "second"]) await room.append({ text })
    await expect.poll(texts).toEqual(["stored", "first", "second"])
    expect(requests.map(({ searchParams }) => searchParams.get("offset"))).not.toContain("-1")
    expect(requests.map(({ searchParams }) => searchParams.get("live"))).toEqual([null, "sse"])

    await room.append({ text: "third" })
    const reloaded = await (await fetch(site.url)).text()
    expect(reloaded).toContain("<p>third</p>")
    await page.reload()
    await expect.poll(texts).toEqual(["stored", "first", "second", "third"])
    expect(complaints).toEqual([])
    await page.close()
    // The route handler passes on that a reader has left.
    await expect.poll(() => streams.openLiveReads.size).toBe(0)
  })

  it("lets nobody read what is not theirs", async () => {
    expect((await fetch(`${site.url}/streams/other?offset=-1`)).status).toBe(403)
  })
})

/** Builds the example and serves it, as in production. */
async function startNext(cwd: string, variables: Record<string, string>) {
  const next = join(cwd, "node_modules/next/dist/bin/next")
  const env = { ...process.env, ...variables, NEXT_TELEMETRY_DISABLED: "1", NODE_ENV: "production" }
  await promisify(execFile)(process.execPath, [next, "build"], { cwd, env })
  const port = await freePort()
  const process_ = spawn(process.execPath, [next, "start", "--hostname", "127.0.0.1", "-p", port], {
    cwd,
    env,
    stdio: ["ignore", "pipe", "pipe"],
  })
  await untilPrinted(process_, "Ready in")
  return {
    url: `http://127.0.0.1:${port}`,
    async stop() {
      const exited = once(process_, "exit")
      if (process_.kill("SIGKILL")) await exited
    },
  }
}

/** Stands before the stream server: `/room` is a stream there, for those who have the token. */
async function startGateway(roomUrl: string) {
  const openLiveReads = new Set<unknown>()
  const gateway = createServer(({ url = "", headers }, response) => {
    const { pathname, search } = new URL(url, roomUrl)
    if (headers.authorization !== `Bearer ${TOKEN}`) return void response.writeHead(401).end()
    if (pathname !== "/room") return void response.writeHead(404).end()
    if (search.includes("live=")) openLiveReads.add(response)
    const outgoing = httpGet(roomUrl + search, (received) => {
      response.writeHead(received.statusCode ?? 502, received.headers).flushHeaders()
      received.pipe(response)
    })
    outgoing.on("error", () => response.destroy())
    response.on("close", () => {
      openLiveReads.delete(response)
      outgoing.destroy()
    })
  })
  gateway.listen(0, "127.0.0.1")
  await once(gateway, "listening")
  return {
    // It listens on TCP.
    url: `http://127.0.0.1:${(gateway.address() as AddressInfo).port}`,
    openLiveReads,
    stop: () => {
      gateway.closeAllConnections()
      gateway.close()
    },
  }
}
