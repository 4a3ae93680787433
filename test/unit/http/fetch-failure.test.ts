import { inspect } from "node:util"
import { describe, expect, it } from "vitest"
import {
  classifyFetchFailure,
  fetchFailureError,
  type FailureKind,
} from "../../../src/http/fetch-failure.ts"

function coded(code: string, message = "", syscall?: string): Error {
  return Object.assign(new Error(message), { code, ...(syscall !== undefined && { syscall }) })
}

function fetchFailed(cause?: unknown): TypeError {
  return new TypeError("fetch failed", { cause })
}

describe("classifyFetchFailure", () => {
  it.each<[string, unknown, FailureKind]>([
    ["Node: nobody listens", fetchFailed(coded("ECONNREFUSED", "", "connect")), "refused"],
    ["Node: no such name", fetchFailed(coded("ENOTFOUND", "", "getaddrinfo")), "refused"],
    ["Node: no name service", fetchFailed(coded("EAI_AGAIN")), "refused"],
    ["Node: no way there", fetchFailed(coded("EHOSTUNREACH", "", "connect")), "refused"],
    ["Node: connecting took too long", fetchFailed(coded("UND_ERR_CONNECT_TIMEOUT")), "refused"],
    [
      "Node: every address refused",
      fetchFailed(new AggregateError([coded("ECONNREFUSED"), coded("ECONNREFUSED")])),
      "refused",
    ],
    ["Node: a bad certificate", fetchFailed(coded("DEPTH_ZERO_SELF_SIGNED_CERT")), "refused"],
    ["Node: no TLS there", fetchFailed(coded("ERR_SSL_WRONG_VERSION_NUMBER")), "refused"],
    ["Node: reset", fetchFailed(coded("ECONNRESET", "", "read")), "lost"],
    ["Node: closed", fetchFailed(coded("UND_ERR_SOCKET", "other side closed")), "lost"],
    ["Node: no headers in time", fetchFailed(coded("UND_ERR_HEADERS_TIMEOUT")), "lost"],
    ["Node: no HTTP", fetchFailed(coded("HPE_INVALID_CONSTANT", "Expected HTTP/")), "lost"],
    ["Node: a broken answer", fetchFailed(coded("HPE_X", "Invalid header value char")), "lost"],
    ["Node: broken off", new TypeError("terminated", { cause: coded("UND_ERR_SOCKET") }), "lost"],
    ["Node: nothing said", fetchFailed(), "lost"],
    ["Node: a redirect loop", fetchFailed(new Error("redirect count exceeded")), "impossible"],
    ["Node: a scheme", fetchFailed(new Error("unknown scheme")), "impossible"],
    ["Node: a port", fetchFailed(new Error("bad port")), "impossible"],
    ["Node: a header", fetchFailed(coded("UND_ERR_INVALID_ARG", "invalid header")), "impossible"],
    [
      "Node: a header value",
      new TypeError('Headers.append: "ä\n" is an invalid header value.'),
      "impossible",
    ],
    ["Chrome", new TypeError("Failed to fetch"), "lost"],
    ["Firefox", new TypeError("NetworkError when attempting to fetch resource."), "lost"],
    ["Safari", new TypeError("Load failed"), "lost"],
    ["Safari: gone", new TypeError("The network connection was lost."), "lost"],
    ["Safari: offline", new TypeError("The Internet connection appears to be offline."), "lost"],
    ["Deno", new TypeError("error sending request for url (http://h/s)"), "lost"],
    [
      "Deno: nobody listens",
      new TypeError(
        "error sending request: client error (Connect): tcp connect error: Connection refused (os error 111)",
      ),
      "refused",
    ],
    ["Bun: nobody listens", coded("ConnectionRefused", "Unable to connect"), "refused"],
    ["Bun: closed", coded("ECONNRESET", "The socket connection was closed unexpectedly"), "lost"],
    ["workerd", new Error("Network connection lost."), "lost"],
    ["React Native", new TypeError("Network request failed"), "lost"],
    ["a timeout of the caller's fetch", new DOMException("timed out", "TimeoutError"), "lost"],
    ["an error of the caller's fetch", new Error("boom"), "lost"],
    ["a bug in the caller's fetch", new TypeError("x is not a function"), "impossible"],
    ["another bug", new ReferenceError("x is not defined"), "impossible"],
    ["a string", "boom", "lost"],
    ["nothing", undefined, "lost"],
    ["null", null, "lost"],
  ])("%s", (_name, error, expected) => {
    expect(classifyFetchFailure(error)).toBe(expected)
  })

  it("ends with causes that go in a circle", () => {
    const error = new Error("boom")
    error.cause = error
    expect(classifyFetchFailure(error)).toBe("lost")
  })
})

describe("fetchFailureError", () => {
  const url = "http://h/s?token=secret"
  const cause = new Error("https://h/s?token=secret failed")

  it.each<[FailureKind, string, boolean]>([
    ["refused", "NETWORK", false],
    ["lost", "NETWORK", true],
    ["impossible", "BAD_REQUEST", false],
  ])("says what happened to which stream: %s", (kind, code, indeterminate) => {
    const error = fetchFailureError(cause, kind, url, indeterminate)
    expect(error).toMatchObject({ status: 0, code, url: "http://h/s", indeterminate })
    expect(error.cause).toMatchObject({ message: "https://h/s failed" })
    expect(error.message).toContain("http://h/s")
    expect(inspect(error)).not.toContain("secret")
    expect(error.message.includes("may have been done")).toBe(indeterminate)
  })

  it("calls an endless redirect the server's fault", () => {
    const loop = fetchFailed(new Error("redirect count exceeded"))
    expect(fetchFailureError(loop, "impossible", url, false)).toMatchObject({ code: "PROTOCOL" })
  })
})
