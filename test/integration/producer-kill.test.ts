import { spawn } from "node:child_process"
import { once } from "node:events"
import { fileURLToPath } from "node:url"
import { afterAll, beforeAll, expect, it } from "vitest"
import { DurableStream, stream } from "../../src/index.ts"
import { startBreakingProxy } from "../support/breaking-proxy.ts"
import { startReferenceServer, type ReferenceServer } from "../support/reference-server.ts"

const COUNT = 600

let server: ReferenceServer
beforeAll(async () => {
  server = await startReferenceServer()
})
afterAll(() => server.stop())

/** Runs the program until it is done, or kills it once the proxy has seen so many requests. */
async function live(
  url: string,
  epoch: number,
  requestsToLive: number,
  onRequests: (count: number) => Promise<void>,
): Promise<NodeJS.Signals | null> {
  const program = fileURLToPath(new URL("producer-process.ts", import.meta.url))
  const child = spawn(
    process.execPath,
    ["--import", "tsx", program, url, String(epoch), String(COUNT)],
    { stdio: ["ignore", "ignore", "inherit"] },
  )
  const exit = once(child, "exit")
  void onRequests(requestsToLive).then(() => child.kill("SIGKILL"))
  const [, signal] = (await exit) as [number | null, NodeJS.Signals | null]
  return signal
}

it(
  "a process killed with SIGKILL in the middle goes on with epoch + 1: all is stored once, in order",
  { timeout: 120_000 },
  async () => {
    await using proxy = await startBreakingProxy(server.url)
    const url = server.streamUrl("killed")
    await DurableStream.create({ url, contentType: "application/json" })
    let waiting: { left: number; done: () => void } | undefined
    let posts = 0
    proxy.decide = ({ method }) => {
      if (waiting !== undefined && --waiting.left === 0) waiting.done()
      // Some requests are still on their way when their process is gone, and when the next one writes.
      return { kind: "pass", delayMs: method === "POST" && ++posts % 15 === 0 ? 300 : 0 }
    }
    const onRequests = (count: number) =>
      new Promise<void>((done) => {
        waiting = { left: count, done }
      })
    const signals: (NodeJS.Signals | null)[] = []
    for (const [epoch, requests] of [20, 45, 30, Infinity].entries()) {
      signals.push(await live(proxy.through(url), epoch, requests, onRequests))
    }
    expect(signals).toEqual(["SIGKILL", "SIGKILL", "SIGKILL", null])
    const log = await (await stream<{ id?: number; life?: string }>({ url, live: false })).json()
    const ids = log.map(({ id }) => id).filter((id) => id !== undefined)
    expect(ids).toEqual(Array.from({ length: COUNT }, (_, id) => id))
    expect(log.map(({ life }) => life).filter((life) => life !== undefined)).toEqual([
      "0",
      "1",
      "2",
      "3",
    ])
  },
)
