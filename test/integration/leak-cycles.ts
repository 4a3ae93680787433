import { getEventListeners } from "node:events"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { stream, type StreamOptions, type StreamResponse } from "../../src/index.ts"
import { ToggledVisibility } from "../simulation/readers/toggled-visibility.ts"

/**
 * Starts and ends sessions in one process, `count` in each way, and prints what each way leaves behind as JSON.
 *
 * Arguments: the url of an open JSON stream, of a closed one, and the count.
 */
const [open = "", closed = "", count = "100"] = process.argv.slice(2)

setFlagsFromString("--expose_gc")
// The function exists in contexts made after the flag was set.
const collectGarbage = runInNewContext("gc") as () => void

/** What an application has for as long as it runs, and what sessions must not pile anything up on. */
const application = new AbortController()
const visibility = new ToggledVisibility()

function read(url: string, options: Partial<StreamOptions> = {}): Promise<StreamResponse> {
  const shared = { signal: application.signal, pauseWhenHidden: visibility }
  return stream({ url, ...shared, ...options })
}

async function whenLive(live: "sse" | "long-poll"): Promise<StreamResponse> {
  let told: () => void = () => undefined
  const isLive = new Promise<void>((resolve) => {
    told = resolve
  })
  const response = await read(open, {
    live,
    observe: (event) => {
      const awaited = live === "sse" ? "response" : "request"
      if (event.kind === awaited && event.transport === live) told()
    },
  })
  response.subscribeJson(() => undefined)
  await isLive
  return response
}

async function failing(url: string, options: Partial<StreamOptions> = {}): Promise<void> {
  await read(url, options).then(
    () => Promise.reject(new Error("was to fail")),
    () => undefined,
  )
}

const ways: Record<string, () => Promise<unknown>> = {
  "bare fetch, read": async () => (await fetch(`${open}?offset=-1`)).json(),
  "bare fetch, aborted": async () => {
    const controller = new AbortController()
    const response = await fetch(`${open}?offset=-1`, { signal: controller.signal })
    controller.abort()
    await response.text().catch(() => undefined)
  },
  "up to date": async () => (await read(open)).json(),
  "end of the stream": async () => {
    for await (const item of (await read(closed)).jsonStream()) if (item === undefined) return
  },
  break: async () => {
    for await (const batch of (await read(open)).jsonBatches()) if (batch.offset) break
  },
  "cancelled stream": async () => {
    const reader = (await read(open)).textStream().getReader()
    await reader.read()
    await reader.cancel()
  },
  "callback that throws": async () => {
    const response = await read(open)
    response.subscribeBytes(() => {
      throw new Error("full")
    })
    await response.closed.catch(() => undefined)
  },
  "not consumed": async () => (await read(open))[Symbol.asyncDispose](),
  "not found": () => failing(`${open}/missing`),
  "aborted at once": () => failing(open, { signal: AbortSignal.abort() }),
  "cancelled long-poll": async () => (await whenLive("long-poll"))[Symbol.asyncDispose](),
  "cancelled SSE": async () => (await whenLive("sse"))[Symbol.asyncDispose](),
}

async function heapBytes(): Promise<number> {
  // Connections that were closed are let go of some turns later, and what hung on them after that.
  for (let round = 0; round < 4; round++) {
    await new Promise((resolve) => setTimeout(resolve, 20))
    collectGarbage()
  }
  return process.memoryUsage().heapUsed
}

async function cycle(way: () => Promise<unknown>, times: number): Promise<void> {
  for (let done = 0; done < times; done++) await way()
}

const report: Record<string, object> = {}
for (const [name, way] of Object.entries(ways)) {
  const times = Number(count)
  await cycle(way, Math.ceil(times / 2))
  const before = await heapBytes()
  await cycle(way, times)
  const after = await heapBytes()
  const resources = process.getActiveResourcesInfo()
  report[name] = {
    bytesPerCycle: Math.round((after - before) / times),
    listeners: getEventListeners(application.signal, "abort").length,
    subscriptions: visibility.listenerCount,
    timers: resources.filter((resource) => resource === "Timeout").length,
    sockets: resources.filter((resource) => resource === "TCPSocketWrap").length,
  }
}
console.log(JSON.stringify(report))
