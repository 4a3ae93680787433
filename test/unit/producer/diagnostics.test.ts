import { afterEach, beforeEach, describe, expect, it, vi } from "vitest"
import { runInVirtualTime } from "../../support/virtual-time.ts"
import { PostDesk } from "./post-desk.ts"

afterEach(() => {
  vi.restoreAllMocks()
  vi.unstubAllEnvs()
  vi.unstubAllGlobals()
})

describe("a server that cannot be reached", () => {
  let warnings: unknown[][]

  beforeEach(() => {
    vi.stubEnv("NODE_ENV", "production")
    const warn = vi.spyOn(console, "warn").mockImplementation(() => undefined)
    warnings = warn.mock.calls
  })

  it("is warned of once, after three seconds of nothing but failures", async () => {
    const desk = new PostDesk()
    desk.reply = (post) => post.refuse()
    await runInVirtualTime({}, async (clock) => {
      const producer = desk.producer()
      producer.append("a")
      await clock.sleep(2000)
      expect(warnings).toEqual([])
      await clock.sleep(60_000)
      desk.reply = (post) => post.accept()
      await producer.flush()
    })
    expect(warnings).toHaveLength(1)
    expect(warnings[0]?.[0]).toMatch(
      /still trying to reach http:\/\/desk.test\/stream: .*, \d+ tries$/,
    )
  })

  it("is warned of again in the next outage only", async () => {
    const desk = new PostDesk()
    await runInVirtualTime({}, async (clock) => {
      const producer = desk.producer()
      for (let outage = 0; outage < 2; outage++) {
        desk.reply = (post) => post.refuse()
        producer.append("a")
        await clock.sleep(10_000)
        desk.reply = (post) => post.accept()
        await producer.flush()
      }
    })
    expect(warnings).toHaveLength(2)
  })
})

/** Has a name that a stack shows. */
function callFromHere(send: () => Promise<unknown>): Promise<unknown> {
  return send()
}

function alsoCallFromHere(send: () => Promise<unknown>): Promise<unknown> {
  return send()
}

describe("a rejected send() shows where it was called from", () => {
  it("if its message is rejected", async () => {
    const desk = new PostDesk()
    desk.reply = (post) => (post.body.includes("x") ? post.respond(422) : post.accept())
    const producer = desk.producer()
    const good = callFromHere(() => producer.send("a"))
    const bad = alsoCallFromHere(() => producer.send("x"))
    await good
    const { stack } = await bad.then(
      () => new Error("was stored"),
      (error: unknown) => error as Error,
    )
    expect(stack).toContain("alsoCallFromHere")
    expect(stack).not.toContain("callFromHere (")
  })

  it("if the producer fails, also while the content type is not known", async () => {
    const desk = new PostDesk()
    desk.reply = (post) => post.respond(404)
    for (const contentType of ["text/plain", null]) {
      const producer = desk.producer({}, contentType)
      const { stack } = await callFromHere(() => producer.send("a")).then(
        () => new Error("was stored"),
        (error: unknown) => error as Error,
      )
      expect(stack).toContain("callFromHere")
    }
  })
})

describe("a producer that a request of workerd left behind", () => {
  it("says in the next request what it needs, instead of waiting for a timer that is gone", async () => {
    vi.stubGlobal("navigator", { userAgent: "Cloudflare-Workers" })
    const desk = new PostDesk()
    const report = await runInVirtualTime({}, async (clock) => {
      const producer = desk.producer({ lingerMs: 5 })
      const { setTimeout } = globalThis
      // The request ends before the linger does.
      globalThis.setTimeout = (() => 0) as unknown as typeof setTimeout
      producer.append("a")
      globalThis.setTimeout = setTimeout
      await clock.sleep(10_000)
      const error: unknown = await producer.flush().catch((thrown: unknown) => thrown)
      return { error, state: producer.state, rest: producer.undelivered().length }
    })
    expect(report.value).toMatchObject({ state: "failed", rest: 1 })
    expect(String(report.value.error)).toMatch(/create a producer within the request/)
  })
})

describe("fetchOptions", () => {
  it("are given to every call of fetch, over the handle's", async () => {
    const desk = new PostDesk()
    const inits: (RequestInit | undefined)[] = []
    const producer = desk.producer({
      fetchOptions: { credentials: "include" },
      fetch: (url, init) => {
        inits.push(init)
        return desk.fetch(url, init)
      },
    })
    desk.reply = (post) => post.accept()
    producer.append("a")
    await producer.flush()
    expect(inits).toMatchObject([{ method: "POST", credentials: "include" }])
  })
})
