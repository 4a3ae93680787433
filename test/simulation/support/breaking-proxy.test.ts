import { afterEach, beforeEach, describe, expect, it } from "vitest"
import {
  startBreakingProxy,
  type Breakage,
  type BreakingProxy,
} from "../../support/breaking-proxy.ts"
import {
  breakOff,
  fallSilent,
  respond,
  startMisbehavingServer,
} from "../../support/misbehaving-server.ts"
import { startReferenceServer, type ReferenceServer } from "../../support/reference-server.ts"

const CONTENT = "0123456789"

async function failureOf(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    (value) => ({ unexpected: value }),
    (error: unknown) => error,
  )
}

describe("the breaking proxy", () => {
  let server: ReferenceServer
  let proxy: BreakingProxy
  let direct: string
  let url: string

  beforeEach(async () => {
    server = await startReferenceServer()
    proxy = await startBreakingProxy(server.url)
    direct = server.streamUrl()
    url = proxy.through(direct)
    await fetch(direct, {
      method: "PUT",
      headers: { "content-type": "text/plain" },
      body: CONTENT,
    })
  })

  afterEach(async () => {
    await proxy.stop()
    await server.stop()
  })

  async function post(): Promise<Response> {
    return fetch(url, { method: "POST", headers: { "content-type": "text/plain" }, body: "x" })
  }

  async function stored(): Promise<string> {
    return (await fetch(direct)).text()
  }

  it("passes requests and responses, and records them", async () => {
    expect((await post()).status).toBe(204)
    expect(await (await fetch(`${url}?offset=-1`)).text()).toBe(`${CONTENT}x`)
    expect(proxy.requests.map((request) => request.method)).toEqual(["POST", "GET"])
    expect(proxy.requests[1]?.query.get("offset")).toBe("-1")
  })

  it.each<[Breakage, number]>([
    ["reset", 0],
    ["reset", 4],
    ["end", 4],
  ])("cuts the body by a %s after %i bytes", async (how, afterBytes) => {
    proxy.next({ kind: "cut", afterBytes, how })
    const response = await fetch(url).catch((error: unknown) => error)
    if (!(response instanceof Response)) return expect(response).toBeInstanceOf(TypeError)
    let received = ""
    const failure = await failureOf(
      (async () => {
        for await (const chunk of response.body ?? []) {
          received += new TextDecoder().decode(chunk)
        }
      })(),
    )
    expect(failure).toBeInstanceOf(TypeError)
    expect(CONTENT.slice(0, afterBytes).startsWith(received)).toBe(true)
  })

  it.each<Breakage>(["reset", "end"])("loses the request or its response by a %s", async (how) => {
    proxy.next({ kind: "lose-request", how })
    expect(await failureOf(post())).toBeInstanceOf(TypeError)
    expect(await stored()).toBe(CONTENT)
    proxy.next({ kind: "lose-response", how })
    expect(await failureOf(post())).toBeInstanceOf(TypeError)
    expect(await stored()).toBe(`${CONTENT}x`)
    proxy.next({ kind: "cut-in-headers", how })
    expect(await failureOf(post())).toBeInstanceOf(TypeError)
    expect(await stored()).toBe(`${CONTENT}xx`)
  })

  it("responds with a status of its own without asking the server", async () => {
    proxy.next({ kind: "respond", status: 503, headers: { "retry-after": "7" }, body: "no" })
    const response = await post()
    expect([response.status, response.headers.get("retry-after")]).toEqual([503, "7"])
    expect(await stored()).toBe(CONTENT)
  })

  it("hangs before the headers or in the body until it is cut", async () => {
    proxy.decide = ({ index }) => ({ kind: "hang", ...(index === 0 ? {} : { afterBytes: 3 }) })
    const failure = failureOf(fetch(url))
    await expect.poll(() => proxy.requests.length).toBe(1)
    const response = await fetch(url)
    const reader = response.body?.getReader()
    expect((await reader?.read())?.value).toHaveLength(3)
    const rest = failureOf(reader?.read() ?? Promise.resolve())
    proxy.cutAll("reset")
    expect(await failure).toBeInstanceOf(TypeError)
    expect(await rest).toBeInstanceOf(TypeError)
  })
})

describe("the misbehaving server", () => {
  it("follows its script, repeats the last line and lets nobody wait when it stops", async () => {
    await using server = await startMisbehavingServer(
      respond(503, { "retry-after": "1" }, "busy"),
      breakOff(),
      breakOff({ "content-length": "10" }, "012"),
      fallSilent(),
    )
    expect((await fetch(server.url, { method: "POST", body: "hello" })).status).toBe(503)
    expect(server.requests[0]?.body.toString()).toBe("hello")
    expect(await failureOf(fetch(server.url))).toBeInstanceOf(TypeError)
    const cut = fetch(server.url).then((response) => response.text())
    expect(await failureOf(cut)).toBeInstanceOf(TypeError)
    const silent = [failureOf(fetch(server.url)), failureOf(fetch(`${server.url}/again`))]
    await server.whenRequested(5)
    await server.stop()
    expect(await Promise.all(silent)).toEqual([expect.any(TypeError), expect.any(TypeError)])
  })
})
