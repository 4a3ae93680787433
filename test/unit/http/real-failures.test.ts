import { inspect } from "node:util"
import { expect, it } from "vitest"
import { createEndpoint } from "../../../src/http/endpoint.ts"
import { createFetchWithConsumedBody } from "../../../src/http/fetch-wrappers.ts"
import { exchange } from "../../../src/http/request.ts"
import {
  breakOff,
  respond,
  startMisbehavingServer,
  type Misbehavior,
} from "../../support/misbehaving-server.ts"
import { rejection } from "../../support/rejection.ts"
import { get, post } from "./requests.ts"

const backoffOptions = { initialDelay: 1, maxDelay: 2 }

it.each([get, post])("a redirect loop fails at once: $method", async (request) => {
  await using server = await startMisbehavingServer(respond(307, { location: "/again?secret" }))
  const endpoint = createEndpoint({ url: `${server.url}/s?secret`, backoffOptions })
  const error = await rejection(exchange(endpoint, request))
  expect(error).toMatchObject({ name: "FetchError", code: "PROTOCOL", status: 0 })
  expect(error.message).toContain("redirect")
  expect(error.message).not.toContain("secret")
  // fetch itself follows about twenty; a retry would double that.
  expect(server.requests.length).toBeLessThan(30)
})

it("a redirect is followed", async () => {
  await using server = await startMisbehavingServer(
    respond(308, { location: "/elsewhere" }),
    respond(200),
  )
  const endpoint = createEndpoint({ url: `${server.url}/s` })
  expect(await exchange(endpoint, post)).toMatchObject({ status: 200 })
  expect(server.requests[1]).toMatchObject({ method: "POST", path: "/elsewhere" })
  expect(server.requests[1]?.body.toString()).toBe("x")
})

it.each(["text", new TextEncoder().encode("bytes")])(
  "a redirect that keeps the method is followed with the body: %o",
  async (body) => {
    await using server = await startMisbehavingServer(
      respond(307, { location: "/elsewhere" }),
      (request, response) => {
        const isThere = request.path === "/elsewhere"
        response.writeHead(isThere ? 200 : 307, isThere ? {} : { location: "/elsewhere" }).end()
      },
    )
    const endpoint = createEndpoint({ url: `${server.url}/s`, backoffOptions })
    const headers = { "content-type": "text/plain" }
    const request = { ...post, retry: "never", headers, body } as const
    expect(await exchange(endpoint, request)).toMatchObject({ status: 200 })
    const arrived = server.requests.filter(({ path }) => path === "/elsewhere")
    expect(arrived).toHaveLength(1)
    expect(arrived[0]?.headers["content-type"]).toBe("text/plain")
    expect(arrived[0]?.body.toString()).toBe(typeof body === "string" ? "text" : "bytes")
  },
)

it.each([301, 302, 303])(
  "a redirect that turns a write into a read fails it: %i",
  async (status) => {
    const page = { "content-type": "text/plain", "stream-next-offset": "7" }
    for (const headers of [page, { "stream-next-offset": "7", "stream-up-to-date": "true" }]) {
      // Without it, the page could be the response to a write that a 307 leads to.
      const indeterminate = headers === page
      await using server = await startMisbehavingServer(
        respond(status, { location: "/elsewhere?secret" }),
        respond(200, headers, "old"),
      )
      const endpoint = createEndpoint({ url: `${server.url}/s`, backoffOptions })
      const error = await rejection(exchange(endpoint, { ...post, retry: "idempotent" }))
      expect(error).toMatchObject({ code: "PROTOCOL", status: 200, indeterminate })
      expect(error.message.includes("a redirect turned the write into a read")).toBe(!indeterminate)
      expect(error.message.includes("may have succeeded")).toBe(indeterminate)
      expect(error.message).not.toContain("secret")
      expect(server.requests.map(({ method }) => method)).toEqual(["POST", "GET"])
    }
  },
)

it.each([301, 302, 303])(
  "a redirect that turns a write into a read fails it behind createFetchWithConsumedBody: %i",
  async (status) => {
    await using server = await startMisbehavingServer(
      respond(status, { location: "/elsewhere" }),
      respond(200, { "stream-next-offset": "7", "stream-up-to-date": "true" }, "old"),
    )
    const fetch = createFetchWithConsumedBody(globalThis.fetch)
    const endpoint = createEndpoint({ url: `${server.url}/s`, fetch, backoffOptions })
    const error = await rejection(exchange(endpoint, { ...post, retry: "idempotent" }))
    expect(error).toMatchObject({ code: "PROTOCOL", status: 200, indeterminate: false })
    expect(error.message).toContain("nothing was written")
  },
)

it.each([307, 308])(
  "says that a write is in doubt whose response after a redirect could be a read's: %i",
  async (status) => {
    await using server = await startMisbehavingServer(
      respond(status, { location: "/elsewhere" }),
      respond(200, { "content-type": "application/json", "stream-next-offset": "7" }, "{}"),
    )
    const endpoint = createEndpoint({ url: `${server.url}/s`, backoffOptions })
    const error = await rejection(exchange(endpoint, { ...post, retry: "not-processed" }))
    expect(error).toMatchObject({ code: "PROTOCOL", status: 200, indeterminate: true })
    expect(error.message).toContain("may have succeeded")
    expect(server.requests.map(({ method }) => method)).toEqual(["POST", "POST"])
  },
)

it("a refusal after a redirect is told as what it is", async () => {
  const text = { "content-type": "text/plain" }
  await using server = await startMisbehavingServer(
    respond(307, { location: "/elsewhere" }),
    respond(503, text, "busy"),
    respond(307, { location: "/elsewhere" }),
    respond(409, { ...text, "stream-closed": "true", "stream-next-offset": "7" }, "closed"),
  )
  const endpoint = createEndpoint({ url: `${server.url}/s`, backoffOptions })
  const error = await rejection(exchange(endpoint, { ...post, retry: "not-processed" }))
  expect(error).toMatchObject({ code: "STREAM_CLOSED", finalOffset: "7" })
  expect(server.requests).toHaveLength(4)
})

it("a redirect to no URL at all shows no query, however deep one looks", async () => {
  await using server = await startMisbehavingServer(
    respond(307, { location: "http://[nowhere?token=secret" }),
  )
  const url = `${server.url}/s?token=secret`
  const endpoint = createEndpoint({ url, backoffOptions: { maxRetries: 0 } })
  for (const request of [get, post]) {
    const error = await rejection(exchange(endpoint, request))
    expect(inspect(error, { depth: 10, showHidden: true })).not.toContain("secret")
  }
})

it("a header that no request can carry fails at once", async () => {
  await using server = await startMisbehavingServer(respond(200))
  const endpoint = createEndpoint({ url: server.url, backoffOptions })
  const request = { ...get, headers: { "x-bad": "secret\nvalue" } }
  const error = await rejection(exchange(endpoint, request))
  expect(error).toMatchObject({ code: "BAD_REQUEST" })
  expect(inspect(error, { depth: 10 })).not.toContain("secret")
  expect(server.requests).toEqual([])
})

it("a port that fetch refuses fails at once", async () => {
  const endpoint = createEndpoint({ url: "http://127.0.0.1:1/s", backoffOptions })
  const error = await rejection(exchange(endpoint, get))
  expect(error).toMatchObject({ code: "BAD_REQUEST" })
  expect(String(error)).toContain("fetch blocks this port or scheme")
})

it("nobody listening is no doubt, and is tried again", async () => {
  const server = await startMisbehavingServer(respond(200))
  await server.stop()
  let attempts = 0
  const endpoint = createEndpoint({
    url: server.url,
    backoffOptions: { ...backoffOptions, maxRetries: 3, onFailedAttempt: () => attempts++ },
  })
  expect(await rejection(exchange(endpoint, post))).toMatchObject({
    code: "NETWORK",
    status: 0,
    indeterminate: false,
  })
  expect(attempts).toBe(4)
})

const noHttp: Misbehavior = (_request, response) =>
  void response.socket?.end("no HTTP at all\r\n\r\n")
const badHeader: Misbehavior = (_request, response) => {
  response.socket?.end("HTTP/1.1 200 OK\r\nBad Header\u0001: x\r\n\r\n")
}

const hugeHeader = respond(200, { "x-huge": "x".repeat(20_000) })

it.each<[string, Misbehavior, string]>([
  ["a reset", breakOff(), "NETWORK"],
  ["a response that is not HTTP", noHttp, "PROTOCOL"],
  ["a response with a broken header", badHeader, "PROTOCOL"],
  ["a response with headers over 16 KiB", hugeHeader, "PROTOCOL"],
])(
  "%s leaves a write indeterminate, and is retried for a read",
  async (_name, misbehavior, code) => {
    await using server = await startMisbehavingServer(misbehavior, misbehavior, respond(200))
    const endpoint = createEndpoint({ url: server.url, backoffOptions })
    expect(await rejection(exchange(endpoint, post))).toMatchObject({
      code,
      indeterminate: true,
    })
    expect(await exchange(endpoint, get)).toMatchObject({ status: 200 })
    expect(server.requests).toHaveLength(3)
  },
)

it.each<[string, Misbehavior]>([
  ["is not HTTP", noHttp],
  ["has headers over 16 KiB", hugeHeader],
])(
  "a response that %s is retried a few times, and then fails the read",
  async (_name, misbehavior) => {
    await using server = await startMisbehavingServer(misbehavior)
    const endpoint = createEndpoint({ url: server.url, backoffOptions })
    const error = await rejection(exchange(endpoint, get))
    expect(error).toMatchObject({ code: "PROTOCOL", status: 0, indeterminate: false })
    expect(error.message).toContain("not valid HTTP, or its headers are too large")
    expect(server.requests).toHaveLength(4)
  },
)

it("a page of HTML as an error is read within bounds", async () => {
  const page = "<p>error</p>".repeat(100_000)
  await using server = await startMisbehavingServer(
    respond(403, { "content-type": "text/html" }, page),
  )
  const error = await rejection(exchange(createEndpoint({ url: server.url }), get))
  expect(error).toMatchObject({ code: "FORBIDDEN", status: 403 })
  expect(error["text"]).toHaveLength(65_536)
  expect(error.message).not.toContain("<p>")
})
