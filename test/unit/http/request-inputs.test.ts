import { describe, expect, it, vi } from "vitest"
import {
  checkHeaders,
  checkParams,
  layHeaders,
  mergeHeaders,
  resolveHeaders,
  resolveParams,
  type HeadersOption,
  type HeadersRecord,
} from "../../../src/http/request-inputs.ts"
import { rejection } from "../../support/rejection.ts"

/** Inputs that the types forbid. */
function given(value: unknown) {
  return value as Record<string, string> & (() => string)
}

describe("checkHeaders", () => {
  it.each([
    undefined,
    {},
    { authorization: "Bearer x", "x-a.b_c~1": "ä \t b" },
    { token: () => "x" },
    { padded: "  x\n" },
    { empty: "" },
    { a: undefined },
    new Headers({ a: "x" }),
    new Map([["a", "x"]]),
    [["a", "x"]],
    () => ({ a: "x" }),
  ])("takes %o", (headers) => {
    expect(() => {
      checkHeaders(given(headers))
    }).not.toThrow()
  })

  it.each([
    [{ "": "x" }, "header name"],
    [{ "a b": "x" }, "a b"],
    [{ "a:": "x" }, "a:"],
    [{ ä: "x" }, "ä"],
    [{ a: "secret\r\nx: y" }, "header a"],
    [{ a: "secret\0" }, "header a"],
    [{ a: "secret\u0100" }, "header a"],
    [{ a: "secret\u007f" }, "header a"],
    [{ a: 1 }, "a number"],
    [{ a: null }, "null"],
    [{ a: ["secret"] }, "an array"],
    [null, "headers"],
    ["secret", "headers"],
  ])("refuses %o, naming the header and not the value", (headers, named) => {
    const check = () => {
      checkHeaders(given(headers))
    }
    expect(check).toThrow(expect.objectContaining({ code: "BAD_REQUEST" }))
    expect(check).toThrow(named)
    expect(check).not.toThrow("secret")
  })
})

describe("checkParams", () => {
  it.each([undefined, {}, { a: "x", b: undefined, c: () => "x", Offset: "x" }])(
    "takes %o",
    (params) => {
      expect(() => {
        checkParams(given(params))
      }).not.toThrow()
    },
  )

  it.each([
    [{ offset: "secret" }, "offset"],
    [{ live: undefined }, "live"],
    [{ cursor: () => "secret" }, "cursor"],
    [{ a: 1 }, "param a"],
    [{ a: null }, "param a"],
    [new URLSearchParams({ a: "secret" }), "params"],
    [null, "params"],
  ])("refuses %o, naming the param and not the value", (params, named) => {
    const check = () => {
      checkParams(given(params))
    }
    expect(check).toThrow(expect.objectContaining({ code: "BAD_REQUEST" }))
    expect(check).toThrow(named)
    expect(check).not.toThrow("secret")
  })
})

const named = (headers: HeadersRecord) => ({ headers, moreHeaders: undefined })

describe("resolveHeaders and resolveParams", () => {
  it("call functions, all at once, for every request", async () => {
    let count = 0
    const slow = vi.fn(() => Promise.resolve(`slow ${++count}`))
    const headers = { a: "1", b: () => ` ${++count} `, c: slow }
    expect(await resolveHeaders(named(headers))).toEqual({ a: "1", b: "1", c: "slow 2" })
    expect(await resolveHeaders(named(headers))).toEqual({ a: "1", b: "3", c: "slow 4" })
    const params = { a: "1", b: undefined, c: () => undefined, d: () => Promise.resolve("4") }
    expect(await resolveParams(params)).toEqual({ a: "1", d: "4" })
    expect(await resolveHeaders(named({}))).toEqual({})
    expect(await resolveParams({})).toEqual({})
  })

  it("check what the functions give", async () => {
    const bad = resolveHeaders(named({ a: () => "secret\n\nx" }))
    expect((await rejection(bad)).message).not.toContain("secret")
    expect(await rejection(resolveHeaders(named({ a: given(() => 1) })))).toMatchObject({
      code: "BAD_REQUEST",
    })
    expect(await rejection(resolveParams({ a: given(() => 1) }))).toMatchObject({
      code: "BAD_REQUEST",
    })
  })

  it("pass on what a function throws, and leave no other rejection unhandled", async () => {
    const failure = new Error("first")
    const headers = {
      a: () => Promise.reject(new Error("second")),
      b: () => {
        throw failure
      },
      c: () => Promise.reject(new Error("third")),
    }
    expect(await rejection(resolveHeaders(named(headers)))).toBeInstanceOf(Error)
    // An unhandled rejection would fail the run.
    await new Promise((resolve) => setImmediate(resolve))
  })
})

describe("headers of any form", () => {
  const resolved = (headers: HeadersOption) => resolveHeaders(checkHeaders(headers))

  it("are taken by shape, without what is undefined", async () => {
    // As those of jsdom, of node-fetch and of polyfills are: no instance of the global class.
    const foreign = {
      forEach(callback: (value: string, name: string) => void) {
        callback("1", "a")
      },
    }
    const forms: HeadersOption[] = [
      { a: "1", b: undefined },
      { a: () => "1", b: () => undefined },
      new Headers({ a: "1" }),
      new Map([["a", "1"]]),
      [["a", "1"]],
      foreign as Headers,
      () => ({ a: "1", b: undefined }),
      () => Promise.resolve(new Headers({ a: "1" })),
    ]
    for (const form of forms) expect(await resolved(form)).toEqual({ a: "1" })
  })

  it("are taken as they are at the call", async () => {
    const headers = new Headers({ a: "1" })
    const checked = checkHeaders(headers)
    headers.set("a", "2")
    expect(await resolveHeaders(checked)).toEqual({ a: "1" })
  })

  it("are checked when a function gives them", async () => {
    const error = await rejection(resolved(() => ({ a: "secret\nx" })))
    expect(error).toMatchObject({ code: "BAD_REQUEST" })
    expect(error.message).not.toContain("secret")
  })

  it("are laid over others in order", async () => {
    const below = checkHeaders(() => ({ a: "1", b: "1", c: "1" }))
    const named = checkHeaders({ B: "2", c: "2" })
    const above = checkHeaders(() => ({ C: "3" }))
    const all = layHeaders(layHeaders(below, named), above)
    expect(await resolveHeaders(all)).toEqual({ a: "1", B: "2", C: "3" })
    expect(await resolveHeaders(layHeaders(all, checkHeaders({ a: "4" })))).toMatchObject({
      a: "4",
    })
  })
})

it("mergeHeaders lets later ones replace earlier ones, whatever the case", () => {
  expect(mergeHeaders({ Accept: "a", x: "1" }, {}, { accept: "b" }, { "X-Y": "2" })).toEqual({
    accept: "b",
    x: "1",
    "X-Y": "2",
  })
})
