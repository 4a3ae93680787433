import { inspect } from "node:util"
import { describe, expect, it } from "vitest"
import { safeCause } from "../../../src/http/safe-cause.ts"

/** The error of `new URL()`, as Node makes it. */
function invalidUrl(input: string, base?: string): unknown {
  try {
    return new URL(input, base)
  } catch (error) {
    return error
  }
}

function headerError(): unknown {
  try {
    return new Headers({ authorization: "Bearer\nsecret" })
  } catch (error) {
    return error
  }
}

const refused = Object.assign(new Error("connect ECONNREFUSED 127.0.0.1:80"), {
  code: "ECONNREFUSED",
  errno: -111,
  syscall: "connect",
  address: "127.0.0.1",
  port: 80,
})
const bun = Object.assign(new Error("Unable to connect. Is the computer able to access the url?"), {
  path: "http://h/s?token=secret",
  code: "ConnectionRefused",
})
const deno = new TypeError(
  "error sending request for url (http://me:secret@h/s?token=secret&sig=se(c)ret): dns error: no host",
)

describe("a cause that holds no secret", () => {
  it.each([
    new TypeError("fetch failed", { cause: refused }),
    new AggregateError([refused, refused]),
    new Error("Why? Nobody knows."),
    new DOMException("Left", "AbortError"),
    new TypeError("Failed to fetch"),
    "boom",
    undefined,
    null,
    7,
    { status: 500 },
  ])("is given as it is: %s", (error) => {
    expect(safeCause(error)).toBe(error)
  })
})

describe("a cause with a secret is copied without it", () => {
  it.each<[string, unknown]>([
    ["Node's invalid redirect", invalidUrl("http://[?token=secret", "http://h/s?token=secret")],
    ["Node's invalid URL", new TypeError("fetch failed", { cause: invalidUrl("//[?secret") })],
    ["undici's parse error", new TypeError("Failed to parse URL from /s?token=secret")],
    ["an invalid header", headerError()],
    ["Bun's header", new TypeError("Header 'authorization' has invalid value: 'secret'")],
    ["Bun's refused connection", bun],
    ["Deno's message", deno],
    ["one of many", new AggregateError([refused, bun], "all failed")],
    ["credentials in a malformed URL", new Error("no URL: https:/user:se@secret@h/s")],
    [
      "ky's HTTPError",
      Object.assign(new Error("HTTP"), {
        request: new Request("http://h", { headers: { a: "secret" } }),
        options: { a: "secret" },
      }),
    ],
    [
      "axios's error",
      Object.assign(new Error("Network Error"), {
        code: "ERR_NETWORK",
        config: { headers: { a: "secret" } },
      }),
    ],
    [
      "got's hidden options",
      Object.defineProperty(new Error("got"), "options", { value: { password: "secret" } }),
    ],
    ["an object that is not an error", { status: 500, config: { a: "secret" } }],
    ["a string", "GET http://h/s?token=secret failed"],
    ["a cause behind a cause", new Error("a", { cause: new Error("b", { cause: deno }) })],
  ])("%s", (_name, error) => {
    expect(inspect(error, { depth: 10, showHidden: true })).toContain("secret")
    expect(inspect(safeCause(error), { depth: 10, showHidden: true })).not.toContain("secret")
  })

  it("and keeps its class, name, code and the rest of its message", () => {
    expect(safeCause(deno)).toBeInstanceOf(TypeError)
    expect(safeCause(deno)).toMatchObject({
      message: "error sending request for url (http://h/s): dns error: no host",
    })
    expect(safeCause(bun)).toMatchObject({ message: bun.message, code: "ConnectionRefused" })
    const many = safeCause(new AggregateError([refused, bun], "all failed"))
    expect(many).toMatchObject({ name: "AggregateError", message: "all failed" })
    expect((many as AggregateError).errors[0]).toBe(refused)
    const url = safeCause(invalidUrl("//[?secret"))
    expect(url).toMatchObject({ name: "TypeError", code: "ERR_INVALID_URL" })
  })

  it("also where causes go in a circle", () => {
    const error = new Error("http://h/s?token=secret")
    error.cause = error
    expect(inspect(safeCause(error), { depth: 20 })).not.toContain("secret")
  })
})
