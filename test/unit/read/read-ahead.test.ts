import { describe, expect, it } from "vitest"
import { LinkedAbortController } from "../../../src/http/abort.ts"
import { bufferedPayload } from "../../../src/read/page.ts"
import { ReadAhead } from "../../../src/read/read-ahead.ts"
import type { ReadRequest } from "../../../src/read/session-state.ts"
import type { Opened, PendingRequest } from "../../../src/read/transport.ts"

/** Requests that were made, whose responses are made by hand. */
class Requests {
  readonly made: Array<{
    offset: string
    scope: LinkedAbortController
    respond: (opened: Opened) => void
  }> = []

  readonly open = (request: ReadRequest): PendingRequest => {
    const { offset } = request
    const controller = new LinkedAbortController()
    const opened = new Promise<Opened>((respond) => {
      this.made.push({ offset, scope: controller, respond })
    })
    return { request, controller, opened }
  }

  get offsets(): string[] {
    return this.made.map(({ offset }) => offset)
  }

  async respond(index: number, offset: string, upToDate = false): Promise<void> {
    const end = { offset, cursor: undefined, upToDate, streamClosed: false }
    const payload = bufferedPayload(new Uint8Array())
    const response = new Response()
    this.made[index]?.respond({ kind: "page", end, payload, elapsedMs: 1, response })
    await Promise.resolve()
  }
}

function at(offset: string, transport: ReadRequest["transport"] = "catch-up"): ReadRequest {
  return { transport, offset, cursor: undefined }
}

describe("pages requested ahead", () => {
  it("the next one as soon as the headers of this one name its offset, up to the limit", async () => {
    const requests = new Requests()
    const ahead = new ReadAhead(3, requests.open)
    ahead.begin(at("a"))
    expect(requests.offsets).toEqual(["a"])
    await requests.respond(0, "b")
    await requests.respond(1, "c")
    await requests.respond(2, "d")
    expect(requests.offsets).toEqual(["a", "b", "c"])
  })

  it("taking one makes room for one", async () => {
    const requests = new Requests()
    const ahead = new ReadAhead(1, requests.open)
    ahead.begin(at("a"))
    await requests.respond(0, "b")
    expect(requests.offsets).toEqual(["a"])
    expect(ahead.take(at("a"))?.controller).toBe(requests.made[0]?.scope)
    ahead.begin(at("b"))
    expect(requests.offsets).toEqual(["a", "b"])
  })

  it("none with a limit of 0", () => {
    const requests = new Requests()
    new ReadAhead(0, requests.open).begin(at("a"))
    expect(requests.offsets).toEqual([])
  })

  it("none behind the tail, and none behind a page that does not move", async () => {
    const requests = new Requests()
    const ahead = new ReadAhead(5, requests.open)
    ahead.begin(at("a"))
    await requests.respond(0, "a")
    expect(requests.offsets).toEqual(["a"])
    ahead.begin(at("x"))
    await requests.respond(1, "y", true)
    expect(requests.offsets).toEqual(["a", "x"])
  })

  it("none behind a failure, which is kept for whoever takes it", async () => {
    const requests = new Requests()
    const ahead = new ReadAhead(5, requests.open)
    ahead.begin(at("a"))
    requests.made[0]?.respond({ kind: "request-failed", error: new Error("401") })
    const taken = await ahead.take(at("a"))?.opened
    expect(taken?.kind).toBe("request-failed")
    expect(requests.offsets).toEqual(["a"])
  })

  it("asking for another offset drops them all: the reader went elsewhere", async () => {
    const requests = new Requests()
    const ahead = new ReadAhead(5, requests.open)
    ahead.begin(at("a"))
    await requests.respond(0, "b")
    expect(ahead.take(at("elsewhere"))).toBeUndefined()
    expect(requests.made.map(({ scope }) => scope.signal.aborted)).toEqual([true, true])
    expect(ahead.take(at("a"))).toBeUndefined()
  })

  it("one long-poll, and none behind it: it brings what nobody has committed", async () => {
    const requests = new Requests()
    const ahead = new ReadAhead(5, requests.open)
    ahead.begin(at("a", "long-poll"))
    await requests.respond(0, "b")
    expect(requests.offsets).toEqual(["a"])
    expect(ahead.take(at("a"))).toBeUndefined()
    ahead.begin(at("a", "long-poll"))
    expect(ahead.take(at("a", "long-poll"))?.controller).toBe(requests.made[1]?.scope)
  })

  it("a response that comes after the drop begins nothing", async () => {
    const requests = new Requests()
    const ahead = new ReadAhead(5, requests.open)
    ahead.begin(at("a"))
    ahead.drop()
    await requests.respond(0, "b")
    expect(requests.offsets).toEqual(["a"])
  })
})
