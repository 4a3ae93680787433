import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { z } from "zod"
import { DurableStream, type DurableStreamError } from "../../src/index.ts"
import {
  OffsetMismatchError,
  runWorker,
  Subscriptions,
  type WorkerOptions,
} from "../../src/subscriptions/index.ts"
import { startSubscriptionServer } from "../support/subscription-server.ts"
import { watchWorker, type WatchedWorker } from "../support/watch-worker.ts"

interface Message {
  n: number
}

let server: Awaited<ReturnType<typeof startSubscriptionServer>>
let count = 0
beforeAll(async () => {
  server = await startSubscriptionServer()
})
afterAll(() => server[Symbol.asyncDispose]())

async function prepare(names: readonly string[], leaseTtlMs = 5_000) {
  const folder = `work-${++count}`
  const paths = names.map((name) => `${folder}/${name}`)
  for (const path of paths) {
    await DurableStream.create({ url: server.streamUrl(path), contentType: "application/json" })
  }
  const subscriptions = new Subscriptions({ root: server.root })
  const id = `workers ${count}`
  await subscriptions.create(id, {
    type: "pull-wake",
    pattern: `${folder}/*`,
    wakeStream: "wake",
    leaseTtlMs,
  })
  const acked = async () =>
    Object.fromEntries(
      (await subscriptions.get(id)).streams.map(({ path, ackedOffset }) => [path, ackedOffset]),
    )
  const tails = async () => {
    const heads = await Promise.all(
      paths.map((path) => DurableStream.head({ url: server.streamUrl(path) })),
    )
    return Object.fromEntries(paths.map((path, index) => [path, heads[index]?.offset]))
  }
  return { folder, paths, subscriptions, id, acked, tails }
}

function startWorker(
  { subscriptions, id }: { subscriptions: Subscriptions; id: string },
  options: Partial<WorkerOptions<Message>> & Pick<WorkerOptions<Message>, "onBatch">,
): WatchedWorker {
  const backoffOptions = { initialDelay: 5, maxDelay: 20 }
  return watchWorker<Message>(subscriptions, id, { backoffOptions, ...options })
}

describe("a worker", () => {
  it("handles what was pending before it started, and what is appended later, each message once", async () => {
    const prepared = await prepare(["a", "b", "c"])
    const seen: string[] = []
    for (const path of prepared.paths) await server.append(path, { n: 1 })
    await using running = startWorker(prepared, {
      concurrency: 2,
      onBatch: ({ items }, { path }) => void seen.push(...items.map(({ n }) => `${path} ${n}`)),
    }).worker
    for (const path of prepared.paths) await server.append(path, { n: 2 })
    await expect.poll(() => seen.length).toBe(6)
    await expect.poll(prepared.acked).toEqual(await prepared.tails())
    expect(seen.sort()).toEqual(prepared.paths.flatMap((path) => [`${path} 1`, `${path} 2`]))
    expect(running.name).toMatch(/^w-[0-9a-f]{12}$/)
  })

  it("retries a stream whose handler throws, inside the claim, while the other streams continue", async () => {
    const prepared = await prepare(["bad", "good"])
    for (const path of prepared.paths) await server.append(path, { n: 1 })
    const attempts: number[] = []
    const { worker, events } = startWorker(prepared, {
      onBatch(_batch, { path, attempt }) {
        if (!path.endsWith("bad")) return
        attempts.push(attempt)
        if (attempt < 4) throw new Error("not yet")
      },
    })
    await expect.poll(() => attempts).toEqual([1, 2, 3, 4])
    await expect.poll(prepared.acked).toEqual(await prepared.tails())
    await worker.stop()
    const claims = events.filter(({ kind }) => kind === "claimed")
    const good = events.findIndex(
      (event) => event.kind === "handled" && event.path.endsWith("good"),
    )
    const bad = events.findIndex((event) => event.kind === "handled" && event.path.endsWith("bad"))
    expect(claims.length).toBeGreaterThan(0)
    expect(good).toBeLessThan(bad)
  })

  it("skips a batch after maxAttempts if onPoison says so, and acknowledges it", async () => {
    const prepared = await prepare(["a"])
    const poisoned: unknown[] = []
    const { worker, events } = startWorker(prepared, {
      maxAttempts: 3,
      onBatch({ items }) {
        if (items.some(({ n }) => n === 1)) throw new Error("poison")
      },
      onPoison(batch, { attempt, error }) {
        poisoned.push([batch.items, attempt, String(error)])
        return "skip"
      },
    })
    await server.append(prepared.paths[0]!, { n: 1 })
    await expect.poll(() => poisoned).toEqual([[[{ n: 1 }], 3, "Error: poison"]])
    await server.append(prepared.paths[0]!, { n: 2 })
    await expect.poll(prepared.acked).toEqual(await prepared.tails())
    await worker.stop()
    expect(events.some(({ kind }) => kind === "skipped")).toBe(true)
  })

  it("gives the handler what the schema makes of the messages; a message that does not match is its batch's failure", async () => {
    const prepared = await prepare(["a"])
    const seen: unknown[] = []
    const poisoned: unknown[] = []
    const { worker } = startWorker(prepared, {
      schema: z.object({ n: z.number().transform((n) => n * 10) }),
      maxAttempts: 2,
      onBatch: ({ items }) => void seen.push(...items),
      onPoison({ items }, { error }) {
        const { code, details } = error as DurableStreamError
        poisoned.push([items, code, (details as { index: number }).index])
        return "skip"
      },
    })
    await server.append(prepared.paths[0]!, { n: 1 })
    await expect.poll(() => seen).toEqual([{ n: 10 }])
    await server.append(prepared.paths[0]!, { n: "two" })
    await expect.poll(() => poisoned).toEqual([[[{ n: "two" }], "SCHEMA", 0]])
    await server.append(prepared.paths[0]!, { n: 3 })
    await expect.poll(() => seen).toEqual([{ n: 10 }, { n: 30 }])
    await expect.poll(prepared.acked).toEqual(await prepared.tails())
    await worker.stop()
  })

  it("ends with the handler's error if onPoison says stop, and acknowledges nothing of the batch", async () => {
    const prepared = await prepare(["a"])
    const before = await prepared.acked()
    const error = new Error("poison")
    const { worker } = startWorker(prepared, {
      maxAttempts: 2,
      onBatch: () => Promise.reject(error),
      onPoison: () => "stop",
    })
    await server.append(prepared.paths[0]!, { n: 1 })
    await expect(worker.done).rejects.toBe(error)
    expect(await prepared.acked()).toEqual(before)
    // The claim was released: another worker gets the batch immediately.
    await expect(
      prepared.subscriptions.claim(prepared.id, { worker: "other" }),
    ).resolves.toMatchObject({
      kind: "claimed",
    })
  })

  it("does not treat a stream that is gone as poison", async () => {
    const prepared = await prepare(["gone", "here"])
    for (const path of prepared.paths) await server.append(path, { n: 1 })
    await DurableStream.delete({ url: server.streamUrl(prepared.paths[0]!) })
    const seen: string[] = []
    const { worker, errors } = startWorker(prepared, {
      onBatch: (_batch, { path }) => void seen.push(path),
    })
    await expect.poll(() => seen).toEqual([prepared.paths[1]])
    await worker.stop()
    expect(errors).toEqual([])
  })

  it("finishes and acknowledges the running batch when it is stopped, and begins no other", async () => {
    const prepared = await prepare(["a", "b"])
    for (const path of prepared.paths) await server.append(path, { n: 1 })
    let finish = () => {}
    const seen: string[] = []
    const { worker } = startWorker(prepared, {
      onBatch: async (_batch, { path }) => {
        seen.push(path)
        await new Promise<void>((resolve) => (finish = resolve))
      },
    })
    await expect.poll(() => seen.length).toBe(1)
    const stopped = worker.stop()
    finish()
    await stopped
    expect(seen).toHaveLength(1)
    const [acked, tails] = [await prepared.acked(), await prepared.tails()]
    expect(acked[seen[0]!]).toBe(tails[seen[0]!])
    await expect(
      prepared.subscriptions.claim(prepared.id, { worker: "other" }),
    ).resolves.toMatchObject({
      kind: "claimed",
    })
  })

  it("aborts the handler's signal once stop() has waited for stopTimeoutMs", async () => {
    const prepared = await prepare(["a"])
    await server.append(prepared.paths[0]!, { n: 1 })
    let hasBegun = false
    let isAborted = false
    const { worker } = startWorker(prepared, {
      stopTimeoutMs: 10,
      onBatch: (_batch, { signal }) =>
        new Promise<void>((resolve) => {
          hasBegun = true
          signal.addEventListener("abort", () => {
            isAborted = true
            resolve()
          })
        }),
    })
    await expect.poll(() => hasBegun).toBe(true)
    await worker.stop()
    expect(isAborted).toBe(true)
    expect(await prepared.acked()).not.toEqual(await prepared.tails())
  })

  it("reads on from the offset of the program's own store if another worker handled the batch", async () => {
    const prepared = await prepare(["a"])
    const [path] = prepared.paths
    await server.append(path!, { n: 1 })
    const { offset: first } = await DurableStream.head({ url: server.streamUrl(path!) })
    await server.append(path!, { n: 2 })
    const seen: number[] = []
    const { worker } = startWorker(prepared, {
      onBatch({ items }, { startOffset }) {
        if (startOffset !== first) throw new OffsetMismatchError(path!, startOffset, first!)
        seen.push(...items.map(({ n }) => n))
      },
    })
    await expect.poll(() => seen).toEqual([2])
    await expect.poll(prepared.acked).toEqual(await prepared.tails())
    await worker.stop()
  })

  it("starts at the later of the acknowledged offset and the option startOffset", async () => {
    const prepared = await prepare(["a"])
    const [path] = prepared.paths
    await server.append(path!, { n: 1 })
    const { offset: stored } = await DurableStream.head({ url: server.streamUrl(path!) })
    await server.append(path!, { n: 2 })
    const seen: number[] = []
    const { worker } = startWorker(prepared, {
      startOffset: () => stored,
      onBatch: ({ items }) => void seen.push(...items.map(({ n }) => n)),
    })
    await expect.poll(() => seen).toEqual([2])
    await worker.stop()
  })

  it.each([
    ["does not exist", "missing-wake", undefined, "NOT_FOUND"],
    ["is not JSON", "text-wake", "text/plain", "CONTENT_TYPE_MISMATCH"],
  ])("reports immediately that its wake stream %s", async (what, wakeStream, contentType, code) => {
    if (contentType !== undefined) {
      await DurableStream.create({ url: server.streamUrl(wakeStream), contentType })
    }
    const subscriptions = new Subscriptions({ root: server.root })
    const id = `no wakes ${++count}`
    await subscriptions.create(id, { type: "pull-wake", pattern: "nothing/*", wakeStream })
    const { worker } = startWorker({ subscriptions, id }, { onBatch() {} })
    await expect(worker.done).rejects.toMatchObject({
      code,
      message: expect.stringContaining(what),
    })
  })

  it("ends with SUBSCRIPTION_NOT_FOUND if there is no such subscription", async () => {
    const { worker } = startWorker(
      { subscriptions: new Subscriptions({ root: server.root }), id: "nobody" },
      { onBatch() {} },
    )
    await expect(worker.done).rejects.toMatchObject({ code: "SUBSCRIPTION_NOT_FOUND" })
  })

  it.each([
    ["as", { as: "xml" }],
    ["concurrency", { concurrency: 0 }],
    ["maxAttempts", { maxAttempts: 0 }],
    ["schema", { schema: { parse: () => 1 } }],
    ["schema", { schema: z.string(), as: "text" }],
    ["onBatch", { onBatch: undefined }],
    ["worker", { worker: "" }],
    ["stopTimeoutMs", { stopTimeoutMs: -1 }],
  ])("rejects an invalid %s by name", async (option, invalid) => {
    const subscriptions = new Subscriptions({ root: server.root })
    const options = { worker: "w", onBatch() {}, ...invalid }
    expect(() => runWorker(subscriptions, "any", options as never)).toThrow(
      expect.objectContaining({ code: "BAD_REQUEST", message: expect.stringContaining(option) }),
    )
  })

  it("shares the work with other workers of one subscription without doing it twice", async () => {
    const prepared = await prepare(["a", "b", "c", "d"])
    const seen: string[] = []
    const workers = Array.from(
      { length: 5 },
      () =>
        startWorker(prepared, {
          onBatch: ({ items }, { path }) => void seen.push(...items.map(({ n }) => `${path} ${n}`)),
        }).worker,
    )
    for (let n = 0; n < 5; n++)
      await Promise.all(prepared.paths.map((path) => server.append(path, { n })))
    await expect.poll(() => new Set(seen).size).toBe(20)
    await expect.poll(prepared.acked).toEqual(await prepared.tails())
    await Promise.all(workers.map((worker) => worker.stop()))
    expect(seen).toHaveLength(20)
  })
})
