import { inspect } from "node:util"
import { describe, expect, it } from "vitest"
import { FetchError } from "../../../src/errors/fetch-error.ts"
import {
  classifyFetchFailure,
  fetchFailureError,
  type FailureKind,
} from "../../../src/http/fetch-failure.ts"

function coded(code: string, message = "", syscall?: string, isTypeError = false): Error {
  const error = isTypeError ? new TypeError(message) : new Error(message)
  return Object.assign(error, { code, ...(syscall !== undefined && { syscall }) })
}

function fetchFailed(cause?: unknown): TypeError {
  return new TypeError("fetch failed", { cause })
}

type Row = [name: string, error: unknown, kind: FailureKind]

/** What platforms say of a request that they do not make. */
const refusals = [
  "Failed to parse URL from /s",
  "Request with GET/HEAD method cannot have body.",
  "RequestInit: duplex option is required when sending a body.",
  "'a b' is not a valid HTTP method.",
  "'TRACE' HTTP method is unsupported.",
  "Headers.append: Cannot convert argument to a ByteString because …",
  "Failed to execute 'fetch' on 'Window': Request with GET/HEAD method cannot have body.",
  "Failed to execute 'fetch' on 'WorkerGlobalScope': The `duplex` member must be specified",
  "Failed to construct 'Request': 'CONNECT' HTTP method is unsupported.",
  "Failed to fetch. Refused to connect because it violates the document's Content Security Policy.",
  "Window.fetch: HEAD or GET Request cannot have a body.",
  "WorkerGlobalScope.fetch: http://a:b@h/ is an url with embedded credentials.",
  "Method is forbidden.",
  "Header 'x' has invalid value: 'ä'",
  "Preflight response is not successful. Status code: 403",
  "Request header field X is not allowed by Access-Control-Allow-Headers.",
  "fetch() URL is invalid",
  "fetch() request with GET/HEAD/OPTIONS method cannot have body.",
  "Url scheme 'ftp' not supported",
  "Invalid header value.",
  "Load cannot follow more than 20 redirections",
]

describe("classifyFetchFailure", () => {
  it.each<Row>([
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
    ["a bug in the caller's fetch", new TypeError("x is not a function"), "faulty"],
    ["another bug", new ReferenceError("x is not defined"), "faulty"],
    ["one of a layer behind the answer", new TypeError("Body is unusable: read twice"), "faulty"],
    ["one beside it", new TypeError("Response body object should not be locked"), "faulty"],
    ...["headers", "redirected", "socket", "duplex", "method"].map((name): Row => {
      const message = `Cannot read properties of undefined (reading '${name}')`
      return [`one that stumbles over ${name}`, new TypeError(message), "faulty"]
    }),
    ["one in Safari", new TypeError("undefined is not an object (r.headers)"), "faulty"],
    ["a number out of range", new RangeError("Invalid count value: -1"), "faulty"],
    ["a URL of a layer's own", coded("ERR_INVALID_URL", "Invalid URL", undefined, true), "faulty"],
    ["a state of a layer's own", coded("ERR_INVALID_STATE", "", undefined, true), "faulty"],
    ["no answer at all", new TypeError("The option fetch resolved without a Response"), "faulty"],
    [
      "an answer of the mode no-cors",
      new TypeError("The option fetch resolved with an opaque answer: it must use the mode cors"),
      "faulty",
    ],
    // The standard tells every failure of the network as a TypeError, in whatever words.
    ["Safari: CORS hides the answer", new TypeError("Origin h is not allowed by ACAO"), "lost"],
    ["Safari, in German", new TypeError("Die Internetverbindung ist offline."), "lost"],
    ["a TypeError in words of its own", new TypeError("boom"), "lost"],
    ["a TypeError without a word", new TypeError(""), "lost"],
    [
      "a bug behind createFetchWithBackoff",
      fetchFailureError(new TypeError("Body is unusable"), "faulty", "http://h/s", true),
      "faulty",
    ],
    [
      "a refusal behind it",
      fetchFailureError(fetchFailed(new Error("bad port")), "impossible", "http://h/s", false),
      "impossible",
    ],
    [
      "a lost answer behind it",
      fetchFailureError(fetchFailed(), "lost", "http://h/s", true),
      "lost",
    ],
    ["a timeout behind it", new FetchError(0, "", undefined, {}, "http://h/s"), "lost"],
    ["Safari: called off", new TypeError("cancelled"), "lost"],
    ["Safari, long ago", new TypeError("Type error"), "lost"],
    [
      "Safari: no such name",
      new TypeError("A server with the specified hostname could not be found."),
      "refused",
    ],
    ["Safari: nobody listens", new TypeError("Could not connect to the server."), "refused"],
    ...refusals.map((message): Row => [message, new TypeError(message), "impossible"]),
    ["Bun: a redirect loop", new Error("The response redirected too many times."), "impossible"],
    ["undici itself", coded("UND_ERR_INVALID_ARG", "invalid method"), "impossible"],
    ["node-fetch: a header", coded("ERR_INVALID_CHAR", "", undefined, true), "impossible"],
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
    ["faulty", "BAD_REQUEST", false],
    ["faulty", "NETWORK", true],
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
