import { spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtemp, readFile, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { build } from "esbuild"
import { expect, it, onTestFinished } from "vitest"
import { DurableStream } from "../../src/index.ts"
import { Subscriptions } from "../../src/subscriptions/index.ts"
import { startSubscriptionServer } from "../support/subscription-server.ts"

const SUBSCRIPTIONS = 8
const STREAMS = 50
const PROCESSES = 8
const KILLS = 6

it(
  `loses nothing if one of ${PROCESSES} processes is killed with SIGKILL every second`,
  { timeout: 180_000 },
  async () => {
    await using server = await startSubscriptionServer()
    const folder = await mkdtemp(join(tmpdir(), "durable-streams-fleet-"))
    onTestFinished(() => rm(folder, { recursive: true }))
    const report = join(folder, "report.txt")
    const program = join(folder, "process.mjs")
    const entryPoints = [join(import.meta.dirname, "fleet-process.ts")]
    await build({ entryPoints, outfile: program, bundle: true, format: "esm", platform: "node" })

    const subscriptions = new Subscriptions({ root: server.root })
    const ids = Array.from({ length: SUBSCRIPTIONS }, (_, index) => `fleet-${index}`)
    for (const id of ids) {
      await subscriptions.create(id, {
        type: "pull-wake",
        pattern: `${id}/*`,
        wakeStream: "wake",
        leaseTtlMs: 1_000,
      })
    }
    const paths = Array.from({ length: STREAMS }, (_, n) => `fleet-${n % SUBSCRIPTIONS}/${n}`)
    const handles = paths.map(
      (path) => new DurableStream({ url: server.streamUrl(path), contentType: "application/json" }),
    )
    for (const handle of handles) await handle.create()

    // Each works on three subscriptions, so that each subscription has three workers.
    const start = (index: number) => {
      const own = [0, 1, 2].map((more) => ids[(index + more) % SUBSCRIPTIONS]!)
      return spawn(process.execPath, [program, server.root, report, ...own], { stdio: "inherit" })
    }
    const children = Array.from({ length: PROCESSES }, (_, index) => start(index))
    onTestFinished(() => {
      for (const child of children) child.kill("SIGKILL")
    })
    const handled = async () => {
      const text = await readFile(report, "utf8").catch(() => "")
      // The last line of a process that was killed may be cut off.
      return text.split("\n").filter((line) => line !== "")
    }

    let written = 0
    for (let kill = 0; kill < KILLS; kill++) {
      const before = (await handled()).length
      for (const handle of handles) await handle.append(written)
      written++
      // It is killed at work: something of this round was handled, and a second has passed.
      await Promise.all([
        sleep(1_000),
        expect.poll(async () => (await handled()).length).toBeGreaterThan(before),
      ])
      const index = (kill * 3) % PROCESSES
      children[index]!.kill("SIGKILL")
      children[index] = start(index)
    }
    const isDone = async () => {
      const described = await Promise.all(ids.map((id) => subscriptions.get(id)))
      const acked = new Map(
        described.flatMap(({ streams }) => streams.map((it) => [it.path, it.ackedOffset] as const)),
      )
      const heads = await Promise.all(handles.map((handle) => handle.head()))
      return heads.every((head, n) => head.exists && acked.get(paths[n]!) === head.offset)
    }
    await expect.poll(isDone, { timeout: 60_000, interval: 250 }).toBe(true)

    const lines = await handled()
    const messages = paths.flatMap((path) =>
      Array.from({ length: written }, (_, n) => `${path} ${n}`),
    )
    expect(new Set(lines)).toEqual(new Set(messages))
    console.log(`${messages.length} messages, ${lines.length - messages.length} handled again`)

    for (const child of children) child.kill("SIGTERM")
    const codes = await Promise.all(
      [...children].map(
        async (child) => child.exitCode ?? ((await once(child, "exit")) as [number])[0],
      ),
    )
    // The one that was started last may not have begun yet.
    expect(codes.filter((code) => code === 0).length).toBeGreaterThanOrEqual(PROCESSES - 1)
  },
)
