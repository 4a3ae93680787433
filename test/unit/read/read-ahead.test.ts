import { describe, expect, it } from "vitest"
import type { LinkedAbortController } from "../../../src/http/abort.ts"
import { bufferedPayload } from "../../../src/read/payload.ts"
import { ReadAhead } from "../../../src/read/read-ahead.ts"
import type { Opened } from "../../../src/read/transport.ts"

/** Requests that were made, to be answered by hand. */
class Requests {
  readonly made: Array<{
    offset: string
    scope: LinkedAbortController
    answer: (opened: Opened) => void
  }> = []

  readonly open = (offset: string, scope: LinkedAbortController): Promise<Opened> => {
    return new Promise((answer) => void this.made.push({ offset, scope, answer }))
  }

  get offsets(): string[] {
    return this.made.map(({ offset }) => offset)
  }

  async answer(index: number, offset: string, upToDate = false): Promise<void> {
    const mark = { offset, cursor: undefined, upToDate, streamClosed: false }
    const page = { ...mark, payload: bufferedPayload(new Uint8Array()) }
    this.made[index]?.answer({ kind: "page", page, elapsedMs: 1, response: new Response() })
    await Promise.resolve()
  }
}

describe("pages requested ahead", () => {
  it("the next one as soon as the headers of this one name its offset, up to the limit", async () => {
    const requests = new Requests()
    const ahead = new ReadAhead(3, requests.open)
    ahead.begin("a")
    expect(requests.offsets).toEqual(["a"])
    await requests.answer(0, "b")
    await requests.answer(1, "c")
    await requests.answer(2, "d")
    expect(requests.offsets).toEqual(["a", "b", "c"])
  })

  it("taking one makes room for one", async () => {
    const requests = new Requests()
    const ahead = new ReadAhead(1, requests.open)
    ahead.begin("a")
    await requests.answer(0, "b")
    expect(requests.offsets).toEqual(["a"])
    expect(ahead.take("a")?.scope).toBe(requests.made[0]?.scope)
    ahead.begin("b")
    expect(requests.offsets).toEqual(["a", "b"])
  })

  it("none with a limit of 0", () => {
    const requests = new Requests()
    new ReadAhead(0, requests.open).begin("a")
    expect(requests.offsets).toEqual([])
  })

  it("none behind the tail, and none behind a page that does not move", async () => {
    const requests = new Requests()
    const ahead = new ReadAhead(5, requests.open)
    ahead.begin("a")
    await requests.answer(0, "a")
    expect(requests.offsets).toEqual(["a"])
    ahead.begin("x")
    await requests.answer(1, "y", true)
    expect(requests.offsets).toEqual(["a", "x"])
  })

  it("none behind a failure, which is kept for whoever takes it", async () => {
    const requests = new Requests()
    const ahead = new ReadAhead(5, requests.open)
    ahead.begin("a")
    requests.made[0]?.answer({ kind: "failed", error: new Error("401") })
    const taken = await ahead.take("a")?.opened
    expect(taken?.kind).toBe("failed")
    expect(requests.offsets).toEqual(["a"])
  })

  it("asking for another offset drops them all: the reader went elsewhere", async () => {
    const requests = new Requests()
    const ahead = new ReadAhead(5, requests.open)
    ahead.begin("a")
    await requests.answer(0, "b")
    expect(ahead.take("elsewhere")).toBeUndefined()
    expect(requests.made.map(({ scope }) => scope.signal.aborted)).toEqual([true, true])
    expect(ahead.take("a")).toBeUndefined()
  })

  it("an answer that comes after the drop begins nothing", async () => {
    const requests = new Requests()
    const ahead = new ReadAhead(5, requests.open)
    ahead.begin("a")
    ahead.drop()
    await requests.answer(0, "b")
    expect(requests.offsets).toEqual(["a"])
  })
})
