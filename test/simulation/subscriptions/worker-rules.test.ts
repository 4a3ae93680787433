import { describe, expect, it } from "vitest"
import {
  Claim,
  OffsetMismatchError,
  runWorker,
  Subscriptions,
  type WorkerOptions,
} from "../../../src/subscriptions/index.ts"
import { watchWorker } from "../../support/watch-worker.ts"
import { inCalmWorld, type CalmWorld, type SeenRequest } from "./calm-world.ts"

type Options = Partial<WorkerOptions<number>>

function start(world: CalmWorld, options: Options = {}) {
  return watchWorker<number>(world.subscriptions, "jobs", { onBatch: () => undefined, ...options })
}

const claimTimes = (world: CalmWorld) => world.seen("POST jobs/claim").map(({ atMs }) => atMs)
const hang = ({ signal }: SeenRequest) =>
  new Promise<never>((_, reject) => {
    signal?.addEventListener("abort", () => reject(signal.reason as Error))
  })

describe("a worker waits", () => {
  it("for events after the tail that the wake stream had before the first claim", async () => {
    await inCalmWorld(["a"], async (world) => {
      const { worker } = start(world)
      await world.clock.sleep(1_000)
      expect(world.requests.slice(0, 4).map(({ name }) => name)).toEqual([
        "GET jobs",
        "HEAD wake",
        "GET wake",
        "POST jobs/claim",
      ])
      await worker.stop()
    })
  })

  it("and takes no event of another subscription for its own", async () => {
    await inCalmWorld(["a"], async (world) => {
      const { worker } = start(world)
      await world.clock.sleep(1_000)
      const event = { type: "wake", stream: "work/a", generation: 1 }
      await world.server.append("wake", [{ ...event, subscription_id: "others" }, null, 7, "wake"])
      await world.clock.sleep(10_000)
      expect(claimTimes(world)).toHaveLength(1)
      await world.server.append("wake", [{ ...event, subscription_id: "jobs" }])
      await world.clock.sleep(10_000)
      expect(claimTimes(world)).toHaveLength(2)
      await worker.stop()
    })
  })

  it.each([
    ["30 s", 1_000, 30_000],
    ["its lease, if that is longer", 60_000, 60_000],
  ])(
    "no longer than %s and a random quarter without an event, after no work and after a lost race",
    async (_what, leaseMs, pollMs) => {
      for (const holder of [false, true]) {
        const test = async (world: CalmWorld) => {
          const error = { code: "ALREADY_CLAIMED", message: "", current_holder: "other" }
          world.respond = ({ name }, pass) =>
            holder && name === "POST jobs/claim"
              ? Promise.resolve(Response.json({ error }, { status: 409 }))
              : pass()
          const { worker } = start(world)
          await world.clock.sleep(20 * pollMs)
          const times = claimTimes(world)
          const waits = times.slice(1).map((atMs, index) => atMs - (times[index] ?? 0))
          expect(Math.min(...waits)).toBeGreaterThanOrEqual(pollMs)
          expect(Math.max(...waits)).toBeLessThan(pollMs * 1.26)
          expect(Math.max(...waits) - Math.min(...waits)).toBeGreaterThan(pollMs / 20)
          await worker.stop()
        }
        await inCalmWorld(["a"], test, leaseMs)
      }
    },
  )

  it("until the lease of its own claim is over, if the response to that was lost", async () => {
    await inCalmWorld(
      ["a"],
      async (world) => {
        await world.append("work/a")
        // Nor does an event say that the lease is over.
        world.server.hooks.eventCount = () => 0
        let isLost = false
        world.respond = async ({ name }, pass) => {
          const response = await pass()
          if (isLost || name !== "POST jobs/claim") return response
          isLost = true
          throw new TypeError("fetch failed")
        }
        const { worker, events } = start(world)
        await world.clock.sleep(30_000)
        const [, second = 0, third = 0] = claimTimes(world)
        expect(third - second).toBeGreaterThan(8_000)
        expect(third).toBeLessThan(12_000)
        expect(events.map(({ kind }) => kind).slice(0, 3)).toEqual(["held", "claimed", "handled"])
        await worker.stop()
      },
      10_000,
    )
  })
})

describe("a worker works", () => {
  it("under a claim for half an hour at most: its token is valid for an hour", async () => {
    const names = Array.from({ length: 12 }, (_, index) => `${index}`)
    await inCalmWorld(names, async (world) => {
      await world.append(...names.map((name) => `work/${name}`))
      const { worker, events } = start(world, { onBatch: () => world.clock.sleep(600_000) })
      await world.clock.sleep(3 * 3_600_000)
      const claims = world.seen("POST jobs/claim").map(({ atMs }) => atMs)
      const dones = world.seen("POST jobs/ack").filter(({ body }) => body["done"] === true)
      expect(events.filter(({ kind }) => kind === "handled")).toHaveLength(12)
      expect(dones.length).toBeGreaterThanOrEqual(4)
      dones.forEach(({ atMs }, index) => {
        expect(atMs - (claims[index] ?? 0)).toBeLessThanOrEqual(40 * 60_000)
      })
      await worker.stop()
    })
  })

  it("on the other streams while one cannot be read, even one at a time", async () => {
    await inCalmWorld(["a", "b"], async (world) => {
      await world.append("work/a", "work/b")
      world.respond = ({ name }, pass) =>
        name === "GET work/a" ? Promise.resolve(new Response("", { status: 503 })) : pass()
      const handled: string[] = []
      const { worker } = start(world, { onBatch: (_batch, { path }) => handled.push(path) })
      await world.clock.sleep(20_000)
      expect(handled).toEqual(["work/b"])
      world.respond = (_request, pass) => pass()
      await world.clock.sleep(120_000)
      expect(handled).toEqual(["work/b", "work/a"])
      await worker.stop()
    })
  })

  it("on a batch maxAttempts times, and counts no attempt to read it", async () => {
    await inCalmWorld(["a"], async (world) => {
      await world.append("work/a")
      let reads = 0
      world.respond = ({ name }, pass) =>
        name === "GET work/a" && ++reads < 6
          ? Promise.resolve(new Response("", { status: 403 }))
          : pass()
      const attempts: number[] = []
      const { worker } = start(world, {
        maxAttempts: 3,
        backoffOptions: { initialDelay: 10, maxDelay: 100 },
        onBatch: (_batch, { attempt }) => {
          attempts.push(attempt)
          throw new Error("poison")
        },
        onPoison: () => "skip",
      })
      await world.clock.sleep(60_000)
      expect(attempts).toEqual([1, 2, 3])
      await worker.stop()
    })
  })

  it("on if onPoison finds that another worker handled the batch", async () => {
    await inCalmWorld(["a"], async (world) => {
      await world.append("work/a")
      let tail = ""
      const { worker, events } = start(world, {
        maxAttempts: 1,
        onBatch: (batch) => {
          tail = batch.offset
          throw new Error("poison")
        },
        onPoison: (_batch, { path, startOffset }) => {
          throw new OffsetMismatchError(path, startOffset, tail)
        },
      })
      await world.clock.sleep(10_000)
      expect(world.server.acked("jobs", "work/a")).toBe(1)
      expect(events.some(({ kind }) => kind === "stopped")).toBe(false)
      await worker.stop()
    })
  })

  it("calmly for a server that wakes and reports work that cannot be read", async () => {
    await inCalmWorld(["a"], async (world) => {
      await world.append("work/a")
      const { tailOffset: now } = (await claimedStreams(world))[0]!
      // A replica that lags, or a count that is wrong.
      world.respond = async ({ name, body }, pass) => {
        const response = await pass()
        if (name === "POST jobs/claim" && response.ok) {
          const claim = (await response.json()) as { streams: object[] }
          const streams = claim.streams.map((it) => ({
            ...it,
            acked_offset: now,
            tail_offset: now,
            has_pending: true,
          }))
          return Response.json({ ...claim, streams })
        }
        return body["done"] === true ? Response.json({ ok: true, next_wake: true }) : response
      }
      const { worker } = start(world)
      await world.clock.sleep(60_000)
      expect(world.requests.length).toBeLessThan(400)
      await worker.stop()
    })
  })

  it("calmly for a server whose reads end before the tail that it reports", async () => {
    await inCalmWorld(["a"], async (world) => {
      await world.append("work/a")
      world.respond = async ({ name, body }, pass) => {
        if (name === "GET work/a") {
          const headers = { "stream-next-offset": "-1", "stream-up-to-date": "true" }
          const json = { "content-type": "application/json" }
          return new Response("[]", { headers: { ...headers, ...json } })
        }
        const response = await pass()
        return body["done"] === true ? Response.json({ ok: true, next_wake: true }) : response
      }
      const { worker } = start(world)
      await world.clock.sleep(60_000)
      expect(world.requests.length).toBeLessThan(600)
      await worker.stop()
    })
  })

  it("no more, and says so, for a server that responds to everything with a page", async () => {
    await inCalmWorld(["a"], async (world) => {
      await world.append("work/a")
      const { worker } = start(world)
      await world.clock.sleep(10_000)
      const before = world.requests.length
      world.respond = ({ signal }) =>
        signal?.aborted === true
          ? Promise.reject(signal.reason as Error)
          : Promise.resolve(new Response("<p>", { headers: { "content-type": "text/html" } }))
      await world.append("work/a")
      await world.clock.sleep(120_000)
      expect(world.requests.length - before).toBeLessThan(20)
      await expect(worker.done).rejects.toMatchObject({ code: "PROTOCOL" })
    })
  })

  async function claimedStreams(world: CalmWorld) {
    const claim = await world.subscriptions.claim("jobs", { worker: "other" })
    if (!(claim instanceof Claim)) throw new Error("no claim")
    await claim.release()
    return claim.streams
  }
})

describe("a worker stops", () => {
  it("before it begins if its signal is aborted already", async () => {
    const { leftoverTimers } = await inCalmWorld(["a"], async (world) => {
      const { worker, events } = start(world, { signal: AbortSignal.abort() })
      await worker.done
      expect(world.requests).toEqual([])
      expect(events).toEqual([{ kind: "stopped" }])
    })
    expect(leftoverTimers).toEqual([])
  })

  it.each(["GET jobs", "HEAD wake", "GET wake", "POST jobs/claim"])(
    "within a second if %s has no response",
    async (name) => {
      const { leftoverTimers } = await inCalmWorld(["a"], async (world) => {
        await world.append("work/a")
        world.respond = (request, pass) => (request.name === name ? hang(request) : pass())
        const { worker } = start(world)
        await world.clock.sleep(5_000)
        const fromMs = world.clock.elapsedMs
        await worker.stop()
        expect(world.clock.elapsedMs - fromMs).toBeLessThanOrEqual(1_000)
      })
      expect(leftoverTimers).toEqual([])
    },
  )

  it("while the server cannot be reached", async () => {
    await inCalmWorld(["a"], async (world) => {
      world.respond = () => Promise.reject(new TypeError("fetch failed"))
      const { worker } = start(world)
      await world.clock.sleep(60_000)
      await worker.stop()
    })
  })

  it("within its limit although no acknowledgement arrives and the lease is long", async () => {
    const { leftoverTimers } = await inCalmWorld(
      ["a"],
      async (world) => {
        await world.append("work/a")
        const { worker } = start(world, {
          stopTimeoutMs: 5_000,
          onBatch: () => {
            world.respond = hang
          },
        })
        await world.clock.sleep(2_000)
        const fromMs = world.clock.elapsedMs
        await worker.stop()
        expect(world.clock.elapsedMs - fromMs).toBeLessThanOrEqual(6_000)
      },
      600_000,
    )
    expect(leftoverTimers).toEqual([])
  })

  it("within its limit although its handler ignores its signal for ever", async () => {
    const { leftoverTimers } = await inCalmWorld(["a"], async (world) => {
      await world.append("work/a")
      const { worker } = start(world, {
        stopTimeoutMs: 5_000,
        onBatch: () => new Promise<never>(() => undefined),
      })
      await world.clock.sleep(2_000)
      const fromMs = world.clock.elapsedMs
      await worker.stop()
      expect(world.clock.elapsedMs - fromMs).toBeLessThanOrEqual(6_000)
      expect(world.seen("POST jobs/release")).toHaveLength(1)
    })
    expect(leftoverTimers).toEqual([])
  })

  it("once its handler has finished, however long that takes, if stopTimeoutMs is Infinity", async () => {
    await inCalmWorld(["a"], async (world) => {
      await world.append("work/a")
      let isAborted = false
      const { worker } = start(world, {
        stopTimeoutMs: Infinity,
        onBatch: async (_batch, { signal }) => {
          await world.clock.sleep(3_600_000)
          isAborted = signal.aborted
        },
      })
      await world.clock.sleep(2_000)
      await worker.stop()
      expect(isAborted).toBe(false)
      expect(world.server.acked("jobs", "work/a")).toBe(1)
    })
  })

  it("with the signal of the subscriptions", async () => {
    const { leftoverTimers } = await inCalmWorld(["a"], async (world) => {
      await world.append("work/a")
      const abort = new AbortController()
      const subscriptions = new Subscriptions({
        root: "http://model.test/v1/stream",
        fetch: world.fetch,
        signal: abort.signal,
      })
      const worker = runWorker<number>(subscriptions, "jobs", { worker: "w", onBatch() {} })
      await world.clock.sleep(5_000)
      abort.abort()
      await worker.done
    })
    expect(leftoverTimers).toEqual([])
  })
})
