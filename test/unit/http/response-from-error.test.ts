import { describe, expect, it } from "vitest"
import { FetchError } from "../../../src/errors/fetch-error.ts"
import { responseFromError } from "../../../src/http/response.ts"

/** What layers over `fetch` throw: an error with the response in a property. */
function thrownWith(response: unknown): Error {
  return Object.assign(new Error("HTTP error"), { response })
}

function fetchError(status: number, text?: string, json?: object): FetchError {
  const type = json === undefined ? "text/plain" : "application/json"
  return new FetchError(status, text, json, { "content-type": type, x: "1" }, "http://h/s")
}

describe("responseFromError", () => {
  it("finds what a FetchError says", async () => {
    const gone = responseFromError(fetchError(410, "gone"), true)
    expect([gone?.status, gone?.headers.get("x"), await gone?.text()]).toEqual([410, "1", "gone"])
    const conflict = responseFromError(fetchError(409, undefined, { why: 1 }), true)
    expect([conflict?.status, await conflict?.json()]).toEqual([409, { why: 1 }])
  })

  it("finds it in one of another copy of this package too", () => {
    const { status, headers, text, url } = fetchError(404, "none")
    const other = Object.assign(new Error(), { name: "FetchError", status, headers, text, url })
    expect(responseFromError(other, true)?.status).toBe(404)
  })

  it.each([200, 204, 205, 304, 401, 599])("makes a response of any status: %i", (status) => {
    expect(responseFromError(fetchError(status, "text"), false)).toMatchObject({ status })
  })

  it("finds the response in an error's response, and one that was thrown itself", () => {
    const response = new Response("no", { status: 503 })
    expect(responseFromError(thrownWith(response), true)).toBe(response)
    expect(responseFromError(response, true)).toBe(response)
  })

  it("finds one whose body is used", async () => {
    const response = new Response("no", { status: 404 })
    await response.text()
    expect(responseFromError(thrownWith(response), true)).toBe(response)
  })

  it("makes headers that cannot be listed into such that can", () => {
    const headers = {
      get: () => "1",
      *[Symbol.iterator]() {
        yield ["x", "1"]
      },
    }
    const found = responseFromError(thrownWith({ status: 404, headers }), true)
    expect(found && [...found.headers]).toEqual([["x", "1"]])
  })

  it("leaves out a success whose body was wanted", () => {
    for (const error of [fetchError(200, "half"), thrownWith(new Response("used"))]) {
      expect(responseFromError(error, true)).toBeUndefined()
      expect(responseFromError(error, false)?.status).toBe(200)
    }
  })

  it.each<[string, unknown]>([
    ["nothing", undefined],
    ["null", null],
    ["text", "404"],
    ["an error of the network", new TypeError("fetch failed")],
    ["a FetchError without a response", fetchError(0)],
    ["a FetchError of a status that is none", fetchError(999)],
    ["one of headers that are none", new FetchError(404, "", undefined, {}, "u", "m")],
    ["another package's FetchError", Object.assign(new Error(), { name: "FetchError" })],
    ["an error with the status of something else", Object.assign(new Error(), { status: 404 })],
    ["Response.error()", thrownWith(Response.error())],
    ["a response without headers", thrownWith({ status: 404 })],
    ["one whose headers cannot be listed", thrownWith({ status: 404, headers: { get: () => "" } })],
    ["no response", thrownWith(undefined)],
  ])("finds none in %s", (name, error) => {
    if (name.includes("headers that are none")) {
      Object.assign(error as object, { headers: { "not a name": "1" } })
    }
    expect(responseFromError(error, false)).toBeUndefined()
  })
})
