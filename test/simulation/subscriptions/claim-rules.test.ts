import { inspect } from "node:util"
import { describe, expect, it } from "vitest"
import { Claim, type ClaimedStream } from "../../../src/subscriptions/index.ts"
import { inCalmWorld, type CalmWorld } from "./calm-world.ts"

async function claimed(world: CalmWorld): Promise<Claim> {
  const claim = await world.subscriptions.claim("jobs", { worker: "w" })
  if (!(claim instanceof Claim)) throw new Error("no claim")
  return claim
}

const never = () => new Promise<never>(() => undefined)

describe("a claim", () => {
  it("sends heartbeats at a third of the lease after the request that extended it last", async () => {
    await inCalmWorld(["a"], async (world) => {
      await world.append("work/a")
      const claim = await claimed(world)
      await world.clock.sleep(12_000)
      await claim.ack()
      await world.clock.sleep(20_500)
      expect(world.seen("POST jobs/ack").map(({ atMs }) => atMs)).toEqual([
        10_000, 12_000, 22_000, 32_000,
      ])
      await claim.release()
    })
  })

  it("gives a heartbeat a third of the lease to arrive, and tries again", async () => {
    await inCalmWorld(["a"], async (world) => {
      await world.append("work/a")
      const claim = await claimed(world)
      world.respond = async (request, pass) => {
        if (world.seen("POST jobs/ack").length > 1) return pass()
        return new Promise((_, reject) => {
          request.signal?.addEventListener("abort", () => reject(request.signal?.reason as Error))
        })
      }
      await world.clock.sleep(25_000)
      const [first, second] = world.seen("POST jobs/ack").map(({ atMs }) => atMs)
      expect(first).toBe(10_000)
      expect(second).toBeGreaterThanOrEqual(20_000)
      expect(second).toBeLessThan(20_200)
      expect(claim.isHeld).toBe(true)
      await claim.release()
    })
  })

  it.each(["claim", "ack"])(
    "counts its lease from when the %s was sent, not from its response",
    async (route) => {
      await inCalmWorld(["a"], async (world) => {
        await world.append("work/a")
        let sentMs = -1
        world.respond = async ({ name }, pass) => {
          if (name === `POST jobs/${route}` && sentMs < 0) {
            sentMs = world.clock.elapsedMs
            const response = await pass()
            await world.clock.sleep(8_000)
            return response
          }
          return name === "POST jobs/ack" && sentMs >= 0 ? never() : pass()
        }
        const claim = await claimed(world)
        const lostMs = await new Promise<number>((resolve) => {
          claim.signal.addEventListener("abort", () => resolve(world.clock.elapsedMs))
        })
        expect(lostMs - sentMs).toBe(30_000)
      })
    },
  )

  it.each([
    [
      "the wall clock alone (a machine that slept)",
      (world: CalmWorld) => world.clock.suspend(31_000, "frozen"),
    ],
    [
      "the monotonic clock alone (a clock that was set back after the machine slept)",
      (world: CalmWorld) => {
        world.clock.suspend(31_000, "overdue")
        world.clock.setWallClock(-31_000)
      },
    ],
  ])("is lost as soon as %s says so, and acknowledges nothing more", async (_what, pass) => {
    await inCalmWorld(["a"], async (world) => {
      await world.append("work/a")
      const claim = await claimed(world)
      const { path, tailOffset: offset } = claim.streams[0] as ClaimedStream
      pass(world)
      await expect(claim.ack([{ path, offset }])).rejects.toMatchObject({ code: "FENCED" })
      expect(claim.signal.aborted).toBe(true)
      expect(world.seen("POST jobs/ack")).toEqual([])
    })
  })

  it("extends the lease at once if the server rejected an acknowledgement, then sends them one by one", async () => {
    await inCalmWorld(["a", "b"], async (world) => {
      await world.append("work/a", "work/b")
      const claim = await claimed(world)
      const acks = claim.streams.map(({ path, tailOffset: offset }) => ({ path, offset }))
      const { rejected } = await claim.ack([...acks, { path: "other", offset: acks[0]!.offset }])
      expect(rejected.map(({ path }) => path)).toEqual(["other"])
      const sent = world
        .seen("POST jobs/ack")
        .map(({ body }) => (body["acks"] as { stream: string }[]).map(({ stream }) => stream))
      expect(sent).toEqual([["work/a", "work/b", "other"], [], ["work/a"], ["work/b"], ["other"]])
      await claim.release()
    })
  })

  it.each(["done", "release"])(
    "ends without an error if the server fences a repeated %s",
    async (how) => {
      await inCalmWorld(["a"], async (world) => {
        await world.append("work/a")
        const claim = await claimed(world)
        let isLost = false
        world.respond = async (_request, pass) => {
          const response = await pass()
          if (isLost) return response
          isLost = true
          throw new TypeError("fetch failed")
        }
        if (how === "done") await claim.ack([], { done: true })
        else await claim.release()
        expect(world.requests.filter(({ name }) => /ack|release/.test(name))).toHaveLength(2)
        expect(claim.isHeld).toBe(false)
      })
    },
  )

  it("takes a done that the caller repeats after a lost response for done", async () => {
    const { root } = await inCalmWorld(["a"], async (world) => {
      const { Subscriptions } = await import("../../../src/subscriptions/index.ts")
      const subscriptions = new Subscriptions({
        root: "http://model.test/v1/stream",
        fetch: world.fetch,
        backoffOptions: { maxRetries: 0 },
      })
      await world.append("work/a")
      const claim = await subscriptions.claim("jobs", { worker: "w" })
      if (!(claim instanceof Claim)) throw new Error("no claim")
      world.respond = async (_request, pass) => {
        await pass()
        throw new TypeError("fetch failed")
      }
      await expect(claim.ack([], { done: true })).rejects.toMatchObject({ code: "NETWORK" })
      world.respond = (_request, pass) => pass()
      await claim.ack([], { done: true })
      return { root: claim.isHeld }
    }).then(({ value }) => value)
    expect(root).toBe(false)
  })

  it("does not take a fenced done for done if the server said that it did not process the first", async () => {
    await inCalmWorld(["a"], async (world) => {
      await world.append("work/a")
      const claim = await claimed(world)
      const acks = claim.streams.map(({ path, tailOffset: offset }) => ({ path, offset }))
      world.respond = (_request, pass) => {
        if (world.seen("POST jobs/ack").length > 1) return pass()
        world.server.endLeases()
        return Promise.resolve(new Response("", { status: 503 }))
      }
      await expect(claim.ack(acks, { done: true })).rejects.toMatchObject({ code: "FENCED" })
      expect(world.server.acked("jobs", "work/a")).toBe(0)
    })
  })

  it.each([
    ["a year", 365 * 86_400_000],
    ["negative", -1],
    ["not a number", "30000"],
  ])("floods no server that grants a lease that is %s", async (_what, lease_ttl_ms) => {
    await inCalmWorld(["a"], async (world) => {
      await world.append("work/a")
      world.respond = async ({ name }, pass) => {
        const response = await pass()
        if (name !== "POST jobs/claim") return response
        return Response.json({ ...((await response.json()) as object), lease_ttl_ms })
      }
      const claim = await claimed(world)
      await world.clock.sleep(60_000)
      expect(world.requests.length).toBeLessThan(20)
      await claim.release()
    })
  })

  it("floods no server that responds to heartbeats with a page", async () => {
    await inCalmWorld(["a"], async (world) => {
      await world.append("work/a")
      const claim = await claimed(world)
      world.respond = () =>
        Promise.resolve(new Response("<p>", { headers: { "content-type": "text/html" } }))
      await world.clock.sleep(60_000)
      expect(claim.isHeld).toBe(false)
      expect(world.requests.length).toBeLessThan(50)
    })
  })

  it("reads no more of a response than it can be long", async () => {
    await inCalmWorld(["a"], async (world) => {
      await world.append("work/a")
      let sent = 0
      world.respond = () => {
        const body = new ReadableStream<Uint8Array>({
          pull(controller) {
            if (++sent > 200) controller.close()
            else controller.enqueue(new Uint8Array(1024 * 1024).fill(32))
          },
        })
        return Promise.resolve(new Response(body))
      }
      await expect(world.subscriptions.get("jobs")).rejects.toMatchObject({
        message: expect.stringContaining("longer than"),
      })
      expect(sent).toBeLessThan(100)
    })
  })

  it("shows the beginning of a long message of the server", async () => {
    await inCalmWorld([], async (world) => {
      const message = "x".repeat(100_000)
      world.respond = () =>
        Promise.resolve(Response.json({ error: { code: "BAD", message } }, { status: 400 }))
      const error = await world.subscriptions.get("jobs").catch((it: unknown) => it)
      expect((error as Error).message.length).toBeLessThan(1_000)
    })
  })

  it("leaves no timer once it has ended", async () => {
    const { leftoverTimers } = await inCalmWorld(["a"], async (world) => {
      await world.append("work/a")
      await (await claimed(world)).release()
      const lost = await claimed(world)
      world.respond = never
      await new Promise((resolve) => lost.signal.addEventListener("abort", resolve))
      await world.clock.sleep(1)
    })
    expect(leftoverTimers).toEqual([])
  })
})

describe("a claim that the server does not grant", () => {
  it.each([
    ["204", new Response(null, { status: 204 })],
    ["404 of a server that says so if there is no work", new Response("", { status: 404 })],
  ])("is one GET, which decides what %s means", async (_what, response) => {
    await inCalmWorld(["a"], async (world) => {
      world.respond = ({ name }, pass) =>
        name.endsWith("/claim") ? Promise.resolve(response.clone()) : pass()
      const { subscriptions } = world
      expect(await subscriptions.claim("jobs", { worker: "w" })).toBeUndefined()
      expect(world.requests.map(({ name }) => name)).toEqual(["POST jobs/claim", "GET jobs"])
      await expect(subscriptions.claim("others", { worker: "w" })).rejects.toMatchObject({
        code: "SUBSCRIPTION_NOT_FOUND",
      })
    })
  })

  it.each([
    ["is a page", new Response("<p>", { headers: { "content-type": "text/html" } })],
    ["has no token", Response.json({ wake_id: "w", generation: 1 })],
    [
      "has a generation that is no number",
      Response.json({ wake_id: "w", generation: "1", token: "t" }),
    ],
    ["is null", Response.json(null)],
  ])("fails with SUBSCRIPTIONS_NOT_SUPPORTED if its response %s", async (_what, response) => {
    await inCalmWorld([], async (world) => {
      world.respond = () => Promise.resolve(response.clone())
      const claim = world.subscriptions.claim("jobs", { worker: "w" })
      await expect(claim).rejects.toMatchObject({ code: "SUBSCRIPTIONS_NOT_SUPPORTED" })
    })
  })

  it("is aborted by its signal in the middle of the response's body", async () => {
    await inCalmWorld([], async (world) => {
      let isCancelled = false
      const cancel = () => void (isCancelled = true)
      world.respond = () => Promise.resolve(new Response(new ReadableStream({ cancel })))
      const abort = new AbortController()
      const claim = world.subscriptions.claim("jobs", { worker: "w", signal: abort.signal })
      world.clock.after(1_000, () => abort.abort())
      await expect(claim).rejects.toMatchObject({ name: "AbortError" })
      expect([isCancelled, world.clock.elapsedMs]).toEqual([true, 1_000])
    })
  })
})

describe("a subscription that is created", () => {
  it("is the one that the response names, or none", async () => {
    await inCalmWorld([], async (world) => {
      world.respond = async (_request, pass) =>
        Response.json({ ...((await (await pass()).json()) as object), subscription_id: "other" })
      const config = { type: "pull-wake", pattern: "work/*", wakeStream: "wake" } as const
      await expect(world.subscriptions.create("jobs", config)).rejects.toMatchObject({
        code: "SUBSCRIPTIONS_NOT_SUPPORTED",
        message: expect.stringContaining("A stream may have been created at"),
      })
    })
  })
})

describe("the token of a claim", () => {
  it.each([
    ["status 401", () => Promise.resolve(new Response("no", { status: 401 }))],
    ["status 403", () => Promise.resolve(new Response("no", { status: 403 }))],
    ["a page", () => Promise.resolve(new Response("<p>"))],
    [
      "an error that quotes the header",
      (token: string) =>
        Promise.reject(new TypeError(`Headers.append: "${token}" is an invalid header value.`)),
    ],
  ])("is in no error of %s", async (_what, respond) => {
    await inCalmWorld(["a"], async (world) => {
      await world.append("work/a")
      const claim = await claimed(world)
      const token = "Bearer token-1"
      world.respond = () => respond(token)
      const error: unknown = await claim.ack().catch((it: unknown) => it)
      expect(inspect(error, { depth: 9, showHidden: true })).not.toContain("token-1")
      await claim.release().catch(() => undefined)
    })
  })
})

describe("the path of a stream", () => {
  it.each(["..", "."])("is not %s: the URL of the subscription would be meant", async (name) => {
    await inCalmWorld(["a"], async (world) => {
      const { subscriptions } = world
      await expect(subscriptions.removeStream("jobs", name)).rejects.toMatchObject({
        code: "BAD_REQUEST",
      })
      await expect(subscriptions.addStreams("jobs", [`a/${name}/b`])).rejects.toMatchObject({
        code: "BAD_REQUEST",
      })
      await expect(subscriptions.delete(name)).rejects.toMatchObject({ code: "BAD_REQUEST" })
      expect(world.requests).toEqual([])
    })
  })
})
