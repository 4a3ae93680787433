import { describe, expect, it } from "vitest"
import { ResponseHead } from "../../../src/read/session-events.ts"

describe.each([true, false])("the head of a response that stays (%s)", (stays) => {
  it("shows what the response showed", () => {
    const given = new Headers({ "Content-Type": "text/plain", ETag: '"a, b"' })
    given.append("Set-Cookie", "a=1; Path=/")
    given.append("Set-Cookie", "b=2")
    given.append("Vary", "Origin")
    given.append("Vary", "Accept")
    const head = new ResponseHead(
      new Response(null, { status: 204, statusText: "Fine", headers: given }),
      stays,
    )
    expect([head.status, head.statusText]).toEqual([204, "Fine"])
    expect(head.headers).toBeInstanceOf(Headers)
    expect([...head.headers]).toEqual([...given])
    expect(head.headers.getSetCookie()).toEqual(["a=1; Path=/", "b=2"])
    expect(head.headers.get("CONTENT-TYPE")).toBe("text/plain")
    expect(head.headers.get("absent")).toBeNull()
    expect(head.headers).toBe(head.headers)
  })

  it("shows headers that are not the platform's as they are", () => {
    const headers = { get: (name: string) => (name === "etag" ? "e" : null) }
    // Enough of a Response for a fetch of the caller's.
    const response = { status: 200, statusText: "OK", headers } as unknown as Response
    expect(new ResponseHead(response, stays).headers).toBe(headers)
  })

  it("shows that there were none", () => {
    expect([...new ResponseHead(new Response(null), stays).headers]).toEqual([])
  })
})
