import { inspect } from "node:util"
import { describe, expect, it } from "vitest"
import { FetchError } from "../../../src/errors/fetch-error.ts"
import {
  failureOf,
  fetchFailure,
  isNetworkFailure,
  responseFailure,
  retryAfterMs,
  transferError,
} from "../../../src/http/failure.ts"

const url = "http://h/s?token=secret"

function coded(code: string, message = "", syscall?: string, isTypeError = false): Error {
  const error = isTypeError ? new TypeError(message) : new Error(message)
  return Object.assign(error, { code, ...(syscall !== undefined && { syscall }) })
}

function fetchFailed(cause?: unknown): TypeError {
  return new TypeError("fetch failed", { cause })
}

/** As Safari's own errors, and those of some other platforms, are. */
function withoutStack(message: string): TypeError {
  return Object.assign(new TypeError(message), { stack: undefined })
}

/**
 * - unsent: the server never saw the request
 * - lost: it may have been applied
 * - few: the same, retried a few times
 * - never: it can never succeed
 */
type Meaning = "unsent" | "lost" | "few" | "never"

function meaningOf(error: unknown): Meaning {
  const failure = failureOf(fetchFailure(error, url, true))
  if (failure?.retryable !== true) return "never"
  if (failure.maxRetries !== Infinity) return "few"
  return failure.effect === "none" ? "unsent" : "lost"
}

type Row = [name: string, error: unknown, meaning: Meaning]

const NAMES = ["null.example.com", "rooms/locked", "undefined", "too many redirects", "bad port"]

describe("fetchFailure", () => {
  it.each<Row>([
    ["Node: nobody listens", fetchFailed(coded("ECONNREFUSED", "", "connect")), "unsent"],
    ["Node: no such name", fetchFailed(coded("ENOTFOUND", "", "getaddrinfo")), "unsent"],
    ["Node: no name service", fetchFailed(coded("EAI_AGAIN")), "unsent"],
    ["Node: no way there", fetchFailed(coded("EHOSTUNREACH", "", "connect")), "unsent"],
    ["Node: connecting took too long", fetchFailed(coded("UND_ERR_CONNECT_TIMEOUT")), "unsent"],
    [
      "Node: every address refused",
      fetchFailed(new AggregateError([coded("ECONNREFUSED"), coded("ECONNREFUSED")])),
      "unsent",
    ],
    ["Node: a bad certificate", fetchFailed(coded("DEPTH_ZERO_SELF_SIGNED_CERT")), "unsent"],
    ["Node: no TLS there", fetchFailed(coded("ERR_SSL_WRONG_VERSION_NUMBER")), "unsent"],
    ["Node: reset", fetchFailed(coded("ECONNRESET", "", "read")), "lost"],
    ["Node: closed", fetchFailed(coded("UND_ERR_SOCKET", "other side closed")), "lost"],
    ["Node: no headers in time", fetchFailed(coded("UND_ERR_HEADERS_TIMEOUT")), "lost"],
    ["Node: headers over 16 KiB", fetchFailed(coded("UND_ERR_HEADERS_OVERFLOW")), "few"],
    ["Node: no HTTP", fetchFailed(coded("HPE_INVALID_CONSTANT", "Expected HTTP/")), "few"],
    ["Node: a broken response", fetchFailed(coded("HPE_X", "Invalid header value char")), "few"],
    ["Node: broken off", new TypeError("terminated", { cause: coded("UND_ERR_SOCKET") }), "lost"],
    ["Node: nothing said", fetchFailed(), "lost"],
    ["Node: a redirect loop", fetchFailed(new Error("redirect count exceeded")), "never"],
    ["Node: a scheme", fetchFailed(new Error("unknown scheme")), "never"],
    ["Node: a port", fetchFailed(new Error("bad port")), "never"],
    ["Node: a header", fetchFailed(coded("UND_ERR_INVALID_ARG", "invalid header")), "never"],
    ["Chrome", new TypeError("Failed to fetch"), "lost"],
    ["Chrome names the host", new TypeError("Failed to fetch (streams.example.com)"), "lost"],
    ["Chrome: a broken body", new TypeError("network error"), "lost"],
    ["Firefox", new TypeError("NetworkError when attempting to fetch resource."), "lost"],
    ["Firefox: a broken body", new TypeError("Error in body stream"), "lost"],
    ["Safari", new TypeError("Load failed"), "lost"],
    ["Safari names the host", new TypeError("Load failed (streams.example.com)"), "lost"],
    ["Safari: gone", new TypeError("The network connection was lost."), "lost"],
    ["Safari: offline", new TypeError("The Internet connection appears to be offline."), "lost"],
    ["Safari: called off", new TypeError("cancelled"), "lost"],
    ["Safari, long ago", new TypeError("Type error"), "lost"],
    [
      "Safari: no such name",
      new TypeError("A server with the specified hostname could not be found."),
      "unsent",
    ],
    ["Safari: nobody listens", new TypeError("Could not connect to the server."), "unsent"],
    ["Safari, in German", withoutStack("Die Internetverbindung ist offline."), "lost"],
    ["a platform without a word", withoutStack(""), "lost"],
    ["Deno", new TypeError("error sending request for url (http://h/s)"), "lost"],
    [
      "Deno: nobody listens",
      new TypeError(
        "error sending request for url (http://h/s): client error (Connect): tcp connect error: Connection refused (os error 111)",
      ),
      "unsent",
    ],
    [
      "Deno 2: reset",
      new TypeError(
        "error sending request from 127.0.0.1:40000 for http://h/s (127.0.0.1:80): client error (SendRequest): connection closed before message completed",
      ),
      "lost",
    ],
    ["Bun: nobody listens", coded("ConnectionRefused", "Unable to connect"), "unsent"],
    ["Bun: closed", coded("ECONNRESET", "The socket connection was closed unexpectedly"), "lost"],
    [
      "Bun: a redirect loop",
      coded("TooManyRedirects", "The response redirected too many times."),
      "never",
    ],
    ["workerd", new Error("Network connection lost."), "lost"],
    ["workerd: an error of its own", new Error("internal error; reference = a1b2c3"), "lost"],
    ["React Native", new TypeError("Network request failed"), "lost"],
    ["React Native: too slow", new TypeError("Network request timed out"), "lost"],
    ["node-fetch", coded("ECONNREFUSED", "request to http://h/s failed, reason: "), "unsent"],
    [
      "node-fetch: a redirect loop",
      Object.assign(new Error("maximum redirect reached at: http://h/s"), { type: "max-redirect" }),
      "never",
    ],
    ["axios", coded("ERR_NETWORK", "Network Error"), "lost"],
    ["Electron", new Error("net::ERR_CONNECTION_RESET"), "lost"],
    ["a timeout of the caller's fetch", new DOMException("timed out", "TimeoutError"), "lost"],
    ["an abort of the caller's fetch", new DOMException("aborted", "AbortError"), "lost"],
    ["an error of the caller's fetch", new Error("boom"), "few"],
    ["a bug in the caller's fetch", new TypeError("x is not a function"), "few"],
    ["another bug", new ReferenceError("x is not defined"), "few"],
    ["one of a layer behind the response", new TypeError("Body is unusable: read twice"), "few"],
    ["a URL of a layer's own", coded("ERR_INVALID_URL", "Invalid URL", undefined, true), "few"],
    ["a file that is not there", coded("ENOENT"), "few"],
    ["no Response at all", new TypeError("The option fetch resolved without a Response"), "few"],
    ["undici itself", coded("UND_ERR_INVALID_ARG", "invalid method"), "never"],
    ["node-fetch: a header", coded("ERR_INVALID_CHAR", "", undefined, true), "never"],
    ["a string", "boom", "few"],
    ["nothing", undefined, "few"],
    ["null", null, "few"],
    ["a bug behind createFetchWithBackoff", fetchFailure(new TypeError("boom"), url, true), "few"],
    ["a mistake behind it", fetchFailure(fetchFailed(new Error("bad port")), url, false), "never"],
    ["a lost response behind it", fetchFailure(fetchFailed(), url, true), "lost"],
  ])("tells from codes, names and whole messages what happened: %s", (_name, error, expected) => {
    expect(meaningOf(error)).toBe(expected)
  })

  it.each(NAMES)("does not let the stream's own name decide: %s", (name) => {
    const path = `http://${name.replaceAll(" ", "%20")}/`
    for (const [message, meaning] of [
      [`Failed to fetch (${name.replaceAll(" ", "-")})`, "lost"],
      [`error sending request for url (${path})`, "lost"],
      [`error sending request for url (${path}): error trying to connect`, "lost"],
      [`error sending request for url (${path}): client error (Connect): dns error`, "unsent"],
      [`request to ${name} failed`, "few"],
      [`Failed to fetch ${name}`, "few"],
    ] as const) {
      expect([message, meaningOf(new TypeError(message))]).toEqual([message, meaning])
    }
  })

  it.each([
    "the token's fetch failed",
    "fetch failed: rooms/terminated",
    "Failed to fetch a token for null.example.com",
    "no network connection lost",
    "not an unknown scheme",
  ])("does not let a part of a message decide: %s", (message) => {
    expect(meaningOf(new Error(message))).toBe("few")
  })

  it("ends with causes that go in a circle", () => {
    const error = new Error("boom")
    error.cause = error
    expect(meaningOf(error)).toBe("few")
  })

  it("never calls a read indeterminate", () => {
    for (const thrown of [fetchFailed(), new Error("boom"), fetchFailed(coded("HPE_X"))]) {
      const error = fetchFailure(thrown, url, false)
      expect([error.indeterminate, failureOf(error)?.effect]).toEqual([false, "none"])
    }
  })

  it.each<[string, unknown, boolean, string, string]>([
    ["a lost read", fetchFailed(), false, "NETWORK", "the connection was lost"],
    ["a lost write", fetchFailed(), true, "NETWORK", "the connection was lost"],
    ["no HTTP", coded("HPE_X"), false, "PROTOCOL", "not valid HTTP"],
    ["a mistake", coded("ERR_INVALID_CHAR"), true, "BAD_REQUEST", "fetch cannot make it"],
    ["an unknown error of a read", new Error("boom"), false, "BAD_REQUEST", "unknown error"],
    ["an unknown error of a write", new Error("boom"), true, "NETWORK", "unknown error"],
    ["a redirect loop", new Error("redirect count exceeded"), true, "PROTOCOL", "redirects"],
    ["nobody listens", coded("ECONNREFUSED"), true, "NETWORK", "connection refused"],
  ])("says what happened to which stream: %s", (_name, thrown, isWrite, code, reason) => {
    const cause = new Error("https://h/s?token=secret failed", { cause: thrown })
    const error = fetchFailure(cause, url, isWrite)
    expect(error).toMatchObject({ status: 0, code, url: "http://h/s" })
    expect(error.cause).toMatchObject({ message: "https://h/s failed" })
    expect(error.message).toContain(`http://h/s failed: ${failureOf(error)?.reason ?? "?"}`)
    expect(error.message).toContain(reason)
    expect(inspect(error)).not.toContain("secret")
    expect(error.message.includes("may have succeeded")).toBe(error.indeterminate)
    expect(error.indeterminate).toBe(failureOf(error)?.effect === "unknown")
  })
})

it("knows what certainly is the network's failure", () => {
  for (const error of [fetchFailed(), coded("ENOTFOUND"), withoutStack("weg")]) {
    expect(isNetworkFailure(error)).toBe(true)
  }
  for (const error of [new Error("no token"), new TypeError("x is null"), coded("HPE_X"), "boom"]) {
    expect(isNetworkFailure(error)).toBe(false)
  }
})

describe("failureOf", () => {
  it("says nothing about errors that are not of a request", () => {
    const values = [
      undefined,
      null,
      "boom",
      new Error("boom"),
      new FetchError(503, "", {}, {}, url),
    ]
    for (const value of values) expect(failureOf(value)).toBeUndefined()
  })

  it("adds nothing that a log would show", () => {
    const error = transferError(url, { kind: "suspended", reason: "the machine slept" })
    expect(failureOf(error)).toMatchObject({ kind: "suspended", retryable: true, effect: "none" })
    expect(inspect(error, { depth: 10 })).not.toContain("maxRetries")
  })
})

describe("responseFailure", () => {
  const statuses = [
    400, 401, 403, 404, 405, 408, 409, 410, 413, 415, 422, 425, 429, 500, 501, 502, 503, 504, 505,
    520, 599,
  ]
  const meaning = (status: number, isWrite = true) =>
    responseFailure({ status, headers: new Headers() }, isWrite)

  it("retries what may pass by itself", () => {
    const retryable = statuses.filter((status) => meaning(status).retryable)
    expect(retryable).toEqual([408, 425, 429, 500, 502, 503, 504, 520, 599])
  })

  it("leaves a write indeterminate if something in front of the server failed", () => {
    const unknown = statuses.filter((status) => meaning(status).effect === "unknown")
    expect(unknown).toEqual([408, 502, 504, 520, 599])
    expect(statuses.every((status) => meaning(status, false).effect === "none")).toBe(true)
  })
})

describe("retryAfterMs", () => {
  const now = Date.UTC(2026, 0, 1)
  const after = (value: string | null, date = new Date(now).toUTCString()) =>
    retryAfterMs(new Headers({ ...(value !== null && { "retry-after": value }), date }))

  it.each([
    [null, 0],
    ["", 0],
    ["0", 0],
    ["2", 2_000],
    [" 2 ", 2_000],
    ["1.5", 1_500],
    ["+3", 3_000],
    ["-5", 0],
    ["soon", 0],
    ["Infinity", 0],
    ["5 seconds", 0],
    ["2026-01-01T00:00:10Z", 0],
    ["Thu, 01 Jan 2026 00:00:10 GMT", 10_000],
    ["Thu, 01 Jan 2026 00:00:00 GMT", 0],
    ["Wed, 31 Dec 2025 23:59:00 GMT", 0],
    // No server makes this client wait longer than an hour, and no timer overflows.
    ["3600", 3_600_000],
    ["3601", 3_600_000],
    ["99999999999999999999", 3_600_000],
    ["9".repeat(400), 3_600_000],
    ["Sat, 01 Jan 2028 00:00:00 GMT", 3_600_000],
    ["Xyz, 99 Foo 9999", 0],
  ])("takes %j for %i ms", (value, expected) => {
    expect(after(value)).toBe(expected)
  })

  it("measures a date against the response's Date also if that is the start of 1970", () => {
    const start = new Date(0).toUTCString()
    expect(after("Thu, 01 Jan 1970 00:00:02 GMT", start)).toBe(2_000)
  })

  it("measures a date against the local clock if the response has no valid Date", () => {
    const inTenSeconds = new Date(Date.now() + 10_000).toUTCString()
    for (const date of ["", "soon"]) {
      expect(after(inTenSeconds, date)).toBeGreaterThan(8_000)
      expect(after(inTenSeconds, date)).toBeLessThanOrEqual(10_000)
    }
  })
})
