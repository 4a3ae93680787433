import { spawn } from "node:child_process"
import { expect, it } from "vitest"
import { startReferenceServer } from "../support/reference-server.ts"
import { closeStream, createStream } from "./reading-support.ts"

/** What one way of ending sessions leaves behind. */
interface Leftovers {
  bytesPerCycle: number
  listeners: number
  subscriptions: number
  timers: number
  sockets: number
}

/** Sessions in each way; `DURABLE_STREAMS_THOROUGH` makes it ten thousand. */
const THOROUGH = process.env["DURABLE_STREAMS_THOROUGH"] !== undefined
const COUNT = THOROUGH ? 10_000 : 150

/** Heap that is not collected at the time of measuring, over so many cycles. */
const NOISE_BYTES = 300_000

it(
  `${COUNT} sessions ended in each way leave nothing, and no more heap than bare fetch does`,
  async () => {
    await using server = await startReferenceServer()
    const open = server.streamUrl()
    const closed = server.streamUrl()
    await createStream(open, "application/json", '[{"some":"content"},2,3]')
    await createStream(closed, "application/json", "[1,2,3]")
    await closeStream(closed)
    const report = await runCycles(open, closed)
    const bare = Math.max(
      report["bare fetch, read"]?.bytesPerCycle ?? 0,
      report["bare fetch, aborted"]?.bytesPerCycle ?? 0,
      0,
    )
    if (THOROUGH) console.table(report)
    expect(Object.keys(report).length).toBeGreaterThan(10)
    for (const [way, { bytesPerCycle, ...left }] of Object.entries(report)) {
      expect(left, way).toMatchObject({ listeners: 0, subscriptions: 0, timers: 0 })
      expect(left.sockets, way).toBeLessThan(10)
      expect(bytesPerCycle, way).toBeLessThanOrEqual(bare + NOISE_BYTES / COUNT)
    }
  },
  THOROUGH ? 1_800_000 : 120_000,
)

/** In a process of its own: the server's heap and the test runner's timers are not to be seen. */
async function runCycles(open: string, closed: string): Promise<Record<string, Leftovers>> {
  const script = new URL("./leak-cycles.ts", import.meta.url).pathname
  const child = spawn(process.execPath, ["--import", "tsx", script, open, closed, String(COUNT)])
  let output = ""
  let errors = ""
  child.stdout.on("data", (chunk: Buffer) => (output += chunk.toString()))
  child.stderr.on("data", (chunk: Buffer) => (errors += chunk.toString()))
  const code = await new Promise((resolve) => child.on("close", resolve))
  expect(errors).toBe("")
  expect(code).toBe(0)
  // The script prints nothing else.
  return JSON.parse(output) as Record<string, Leftovers>
}
