import { spawn, type ChildProcess } from "node:child_process"
import { mkdtemp, readFile, rm, stat } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { build } from "esbuild"
import { expect, it, onTestFinished } from "vitest"
import { afterOrders, loadCheckpoint, type Checkpoint } from "../../examples/worker/checkpoint.ts"
import type { Order } from "../../examples/worker/order.ts"
import { DurableStream } from "../../src/index.ts"
import { startReferenceServer } from "../support/reference-server.ts"

const REPOSITORY = resolve(import.meta.dirname, "../..")
const KILLS = 30
const ORDERS_A_ROUND = 25

it("counts every order exactly once and reports it at least once, however often it is killed", async () => {
  await using server = await startReferenceServer()
  const folder = await mkdtemp(join(tmpdir(), "durable-streams-worker-"))
  onTestFinished(() => rm(folder, { recursive: true }))
  const program = await compileWorker(folder)
  const handle = await DurableStream.create({
    url: server.streamUrl("orders"),
    contentType: "application/json",
  })
  const files = { checkpoint: join(folder, "checkpoint.json"), report: join(folder, "report.txt") }
  const written: Order[] = []

  for (let kill = 0; kill < KILLS; kill++) {
    const before = (await loadCheckpoint(files.checkpoint)).orders
    const reportBytes = await sizeOf(files.report)
    const moments = [
      // Any moment is a good one, that before the first line of the program included; then two that are at work.
      () => sleep(Math.random() * 250),
      () => until(async () => (await sizeOf(files.report)) > reportBytes + Math.random() * 50),
      () => until(async () => (await loadCheckpoint(files.checkpoint)).orders > before),
    ]
    const { worker, exited } = startWorker(program, handle.url, files)
    await Promise.all([
      writeOrders(handle, written, ORDERS_A_ROUND),
      moments[kill % moments.length]?.().then(() => worker.kill("SIGKILL")),
    ])
    await exited
    const checkpoint = await loadCheckpoint(files.checkpoint)
    expect(checkpoint).toEqual(checkpointOf(written.slice(0, checkpoint.orders), checkpoint.offset))
  }
  await handle.close()
  expect(await startWorker(program, handle.url, files).exited).toBe(0)

  const { finalOffset } = await handle.close()
  expect(await loadCheckpoint(files.checkpoint)).toEqual(checkpointOf(written, finalOffset))
  const reported = (await readFile(files.report, "utf8")).trim().split("\n").map(Number)
  expect(new Set(reported)).toEqual(new Set(written.map(({ id }) => id)))
}, 120_000)

function checkpointOf(orders: readonly Order[], offset: string): Checkpoint {
  return afterOrders({ offset: "-1", orders: 0, quantities: {} }, orders, offset)
}

async function writeOrders(handle: DurableStream, written: Order[], count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    const id = written.length
    const order = { id, product: ["tea", "bread", "honey"][id % 3] ?? "", quantity: 1 + (id % 4) }
    await handle.append(order)
    written.push(order)
  }
}

async function sizeOf(file: string): Promise<number> {
  return (await stat(file).catch(() => undefined))?.size ?? 0
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition())) await sleep(1)
}

/** The worker as one file: a process that compiles nothing is at work sooner after it was started. */
async function compileWorker(folder: string): Promise<string> {
  const outfile = join(folder, "worker.mjs")
  await build({
    entryPoints: [join(REPOSITORY, "examples/worker/worker.ts")],
    outfile,
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node18",
    alias: { "@durable-streams/client": join(REPOSITORY, "src/index.ts") },
    logLevel: "warning",
  })
  return outfile
}

function startWorker(
  program: string,
  url: string,
  files: { readonly checkpoint: string; readonly report: string },
): { worker: ChildProcess; exited: Promise<number | null> } {
  const args = [program, url, files.checkpoint, files.report]
  const worker = spawn(process.execPath, args, { stdio: ["ignore", "ignore", "inherit"] })
  const exited = new Promise<number | null>((resolve) => worker.once("exit", resolve))
  return { worker, exited }
}
