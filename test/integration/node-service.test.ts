import { spawn } from "node:child_process"
import { join } from "node:path"
import { expect, it } from "vitest"
import { stream } from "../../src/index.ts"
import { startReferenceServer } from "../support/reference-server.ts"

const PROGRAM = ["--import", "tsx", "examples/frameworks/node-service.ts"]

it("a Node service that gets SIGTERM stores what it has queued, leaves the stream open, and exits", async () => {
  await using server = await startReferenceServer({ longPollTimeout: 500 })
  const url = server.streamUrl()
  const service = spawn(process.execPath, [...PROGRAM, url], {
    cwd: join(import.meta.dirname, "../.."),
  })
  let output = ""
  for (const out of [service.stdout, service.stderr]) {
    out.on("data", (text) => (output += String(text)))
  }
  const ended = new Promise((resolve) => service.once("exit", (code) => resolve(code)))
  await expect.poll(() => output).toContain("ready")
  const read = async () => (await stream<{ n: number }>({ url, live: false })).json()
  await expect.poll(async () => (await read()).length).toBeGreaterThan(20)
  service.kill("SIGTERM")
  expect(await ended).toBe(0)
  const count = Number(/stored (\d+)/.exec(output)?.[1])
  const items = await read()
  expect(items.map(({ n }) => n)).toEqual(Array.from({ length: count }, (_, n) => n))
  expect((await stream({ url, live: false })).streamClosed).toBe(false)
})
