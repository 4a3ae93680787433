import { describe, expect, it } from "vitest"
import { fromWire, toWire, type Message } from "../../../src/tabs/wire.ts"

const feed = { holder: "h", feed: "f", reason: "first" } as const
const end = { offset: "b", cursor: undefined, upToDate: true, streamClosed: false }
const page = { kind: "page", ...feed, start: "a", end, content: ["[1]"] } as const

const messages: Message[] = [
  page,
  { ...page, content: Uint8Array.of(1) },
  { ...page, content: undefined },
  { ...page, end: { ...end, cursor: "c" } },
  { kind: "offset", ...feed, offset: "a", isHidden: false },
  { kind: "left", ...feed },
  { kind: "want", from: "a", isVisible: true },
]

describe("messages between tabs", () => {
  it.each(messages)("arrive as they were sent: %j", (message) => {
    expect(fromWire(structuredClone(toWire(message)))).toMatchObject(message)
  })

  it.each<[string, unknown]>([
    ["of another version", { ...toWire(page), version: 2 }],
    ["without a version", page],
    ["that is none", "page"],
    ["that is nothing", null],
    ["of another kind", { ...toWire(page), kind: "offer" }],
    ["without a connection", { ...toWire(page), feed: undefined }],
    ["of a page without a start", { ...toWire(page), start: undefined }],
    ["of a page without an end", { ...toWire(page), end: "b" }],
    ["of a page whose end has no offset", { ...toWire(page), end: { ...end, offset: 7 } }],
    ["of a page whose end is half", { ...toWire(page), end: { offset: "b" } }],
    ["of a page whose cursor is none", { ...toWire(page), end: { ...end, cursor: 1 } }],
    ["of a page whose content is text", { ...toWire(page), content: "[1]" }],
    ["of a page whose documents are not text", { ...toWire(page), content: [1] }],
    ["of an offset that is none", { ...toWire(page), kind: "offset", offset: 7 }],
    ["of a want from nowhere", { version: 1, kind: "want", isVisible: true }],
  ])("are ignored: one %s", (_, data) => {
    expect(fromWire(data)).toBeUndefined()
  })
})
