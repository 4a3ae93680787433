import { describe, expect, it } from "vitest"
import { PageFlow, type PageFlowOptions } from "../../../src/read/consumers/page-flow.ts"
import type { Page } from "../../../src/read/page.ts"
import { textPayload, type Payload, type PayloadRead } from "../../../src/read/payload.ts"
import type { Session } from "../../../src/read/session.ts"

const error = new Error("cut")

/** A payload of parts; one that ends with `broken` breaks off. */
function payload(...parts: readonly string[]): Payload {
  const left = [...parts]
  return {
    isHere: false,
    read(): Promise<PayloadRead> {
      const part = left.shift()
      if (part === undefined) return Promise.resolve({ kind: "end" })
      if (part === "broken") return Promise.resolve({ kind: "broken", damage: "cut", error })
      return Promise.resolve({ kind: "chunk", bytes: new TextEncoder().encode(part) })
    },
    release() {},
  }
}

/** A session that gives these pages, and notes what it is told of them. */
class Pages {
  readonly log: string[] = []
  readonly state = { offset: "o", handedOnBytes: 0 }
  readonly #payloads: Payload[]

  constructor(...payloads: readonly Payload[]) {
    this.#payloads = [...payloads]
  }

  next(): Promise<Page | undefined> {
    const next = this.#payloads.shift()
    if (next === undefined) return Promise.resolve(undefined)
    const mark = { offset: "o", cursor: undefined, upToDate: true, streamClosed: false }
    return Promise.resolve({ ...mark, payload: next })
  }

  delivered(bytes: number, empty: boolean): void {
    this.log.push(`delivered ${bytes}${empty ? ", empty" : ""}`)
    this.state.handedOnBytes = Math.max(0, this.state.handedOnBytes - bytes)
  }

  broken(_payload: unknown, handedOnBytes: number): void {
    this.log.push(`broken behind ${handedOnBytes}`)
    this.state.handedOnBytes = Math.max(this.state.handedOnBytes, handedOnBytes)
  }
}

async function flow(pages: Pages, options: Partial<PageFlowOptions> = {}): Promise<string[]> {
  // A flow uses no more of a session than what is written out above.
  const session = pages as unknown as Session
  const all = new PageFlow(session, {
    wholePages: false,
    acceptsText: () => false,
    onPageEnd: () => void pages.log.push("page ends"),
    ...options,
  })
  const parts: string[] = []
  for (;;) {
    const part = await all.next()
    if (part === undefined) return parts
    parts.push(typeof part === "string" ? `text ${part}` : new TextDecoder().decode(part))
  }
}

describe("the flow of a stream's content", () => {
  it("gives each part as it comes, and says when a page has ended", async () => {
    const pages = new Pages(payload("ab", "cd"), payload("ef"))
    expect(await flow(pages)).toEqual(["ab", "cd", "ef"])
    expect(pages.log).toEqual(["page ends", "delivered 4", "page ends", "delivered 2"])
  })

  it("gives no empty part", async () => {
    const pages = new Pages(payload(), payload("", "ab"))
    expect(await flow(pages)).toEqual(["ab"])
    expect(pages.log).toEqual(["page ends", "delivered 0, empty", "page ends", "delivered 2"])
  })

  it("goes on behind what was given, wherever a page broke off and however it is cut up now", async () => {
    for (const again of [["abcdef"], ["a", "bc", "def"], ["abc", "def"], ["abcd", "ef"]]) {
      const pages = new Pages(payload("ab", "c", "broken"), payload(...again))
      expect((await flow(pages)).join("|")).toMatch(/^ab\|c\|(d\|)?(def|ef)$/)
      expect(pages.log).toEqual(["broken behind 3", "page ends", "delivered 6"])
    }
  })

  it("skips over several pages where the server cuts them smaller now", async () => {
    const pages = new Pages(payload("abcde", "broken"), payload("abc"), payload("defg"))
    expect((await flow(pages)).join("")).toBe("abcdefg")
    expect(pages.log).toEqual([
      "broken behind 5",
      "page ends",
      "delivered 3",
      "page ends",
      "delivered 4",
    ])
  })

  it("does not forget what was given when the second attempt breaks off sooner", async () => {
    const pages = new Pages(
      payload("abcd", "broken"),
      payload("ab", "broken"),
      payload("broken"),
      payload("abcdef"),
    )
    expect((await flow(pages)).join("")).toBe("abcdef")
  })

  it("gives text as text where it may, and as bytes behind a broken page", async () => {
    const accepting = { acceptsText: () => true }
    expect(await flow(new Pages(textPayload(["a", "ä"])), accepting)).toEqual(["text aä"])
    expect(await flow(new Pages(textPayload(["a", "ä"])))).toEqual(["aä"])
    const pages = new Pages(payload("ab", "broken"), textPayload(["abc"]), textPayload(["d"]))
    expect(await flow(pages, accepting)).toEqual(["ab", "c", "text d"])
  })

  it("gives nothing of a page before it is whole, where half of one means nothing", async () => {
    const pages = new Pages(payload("[1", "broken"), payload("[1,", "2]"), textPayload(["[3]"]))
    expect(await flow(pages, { wholePages: true })).toEqual(["[1,2]", "[3]"])
    expect(pages.log[0]).toBe("broken behind 0")
  })
})
