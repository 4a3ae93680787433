import { runInNewContext } from "node:vm"
import { afterEach, describe, expect, it, vi } from "vitest"
import { createEndpoint, extendEndpoint, type EndpointOptions } from "../../../src/http/endpoint.ts"

afterEach(() => vi.unstubAllGlobals())

/** Options that the types forbid. */
function create(options: unknown) {
  return createEndpoint(options as EndpointOptions)
}

describe("createEndpoint", () => {
  it("keeps the url as it was written", () => {
    for (const url of ["http://h/a b?x=%2f&y", "https://H:443/ä#f"]) {
      expect(create({ url }).url).toBe(url)
    }
    expect(create({ url: " http://h/s\n" }).url).toBe("http://h/s")
    expect(create({ url: new URL("http://h/a b") }).url).toBe("http://h/a%20b")
  })

  it("takes a relative url only where there is a page", () => {
    expect(create({ url: "/s" })).toMatchObject({ url: "/s", urlError: { code: "BAD_REQUEST" } })
    vi.stubGlobal("location", { href: "https://page.test/dir/index.html?q" })
    expect(create({ url: "/s?x=%2f" }).url).toBe("https://page.test/s?x=%2f")
    expect(create({ url: "s" }).url).toBe("https://page.test/dir/s")
    expect(create({ url: "http://h/s" }).url).toBe("http://h/s")
  })

  it("takes a relative url as fetch does where the page names another base", () => {
    vi.stubGlobal("location", { href: "https://page.test/dir/index.html" })
    vi.stubGlobal("document", { baseURI: "https://base.test/app/" })
    expect(create({ url: "s" }).url).toBe("https://base.test/app/s")
    vi.stubGlobal("document", {})
    expect(create({ url: "s" }).url).toBe("https://page.test/dir/s")
  })

  it.each([
    ["s?token=secret", "s"],
    ["ftp://h/s?token=secret", "ftp://h/s"],
    ["data:,secret@", "//"],
    ["http://me:secret@h/s", "http://h/s"],
    ["http://secret@h/s", "http://h/s"],
    ["https://user:a@secret@h/s", "https://h/s"],
    ["https:/user:secret@h/s", "https://h/s"],
    ["http://h:port/s", "http://h:port/s"],
    ["http://", "http://"],
  ])("keeps a url that no request can have for the requests to reject: %s", (url, shown) => {
    const { urlError } = create({ url })
    expect(urlError).toMatchObject({ code: "BAD_REQUEST" })
    expect(urlError?.message).toMatch(
      /absolute URL with the scheme http: or https: and without cred/,
    )
    expect(urlError?.message.endsWith(`: ${shown}`)).toBe(true)
    expect(urlError?.message).not.toContain("secret")
  })

  it("names a port that no URL can have", () => {
    const ofPort = (url: string) => create({ url }).urlError?.message
    expect(ofPort("http://localhost:99999/s")).toMatch(/header\), its port at most 65535: http/)
    expect(ofPort("http://h:port/s")).toContain("its port at most 65535")
    expect(ofPort("ftp://h/s")).not.toContain("port")
  })

  it.each(["https://h/s", new URL("https://h/s")])("says how to pass a URL: %s", (given) => {
    // @ts-expect-error -- what JavaScript callers can pass
    expect(() => createEndpoint(given)).toThrow('pass { url: "https://…" }')
  })

  it("takes a URL of another realm", () => {
    expect(create({ url: { href: "http://h/s?x" } })).toMatchObject({ url: "http://h/s?x" })
    expect(create({ url: runInNewContext("({ href: 'http://h/s' })") }).urlError).toBeUndefined()
  })

  it("takes the options of fetch that the protocol does not set", () => {
    const base = create({
      url: "http://h/s",
      fetchOptions: { credentials: "include", mode: "cors" },
    })
    expect(base.fetchOptions).toEqual({ credentials: "include", mode: "cors" })
    const extended = extendEndpoint(base, { fetchOptions: { mode: "same-origin" } })
    expect(extended.fetchOptions).toEqual({ credentials: "include", mode: "same-origin" })
    for (const field of ["method", "headers", "body", "signal", "duplex", "keepalive"]) {
      const attempt = () => create({ url: "http://h/s", fetchOptions: { [field]: "secret" } })
      expect(attempt).toThrow(`fetchOptions.${field} must be omitted`)
    }
  })

  it.each([
    [{ url: {} }, "url"],
    [{ warnOnRetry: 1 }, "warnOnRetry"],
    [{ fetchOptions: 1 }, "fetchOptions"],
    [{ fetch: "fetch" }, "fetch"],
    [{ requestTimeoutMs: -1 }, "requestTimeoutMs"],
    [{ requestTimeoutMs: "1" }, "requestTimeoutMs"],
  ])("refuses %o without showing secrets", (options, named) => {
    const attempt = () => create({ url: "http://h/s", ...options })
    expect(attempt).toThrow(expect.objectContaining({ code: "BAD_REQUEST" }))
    expect(attempt).toThrow(named)
    expect(attempt).not.toThrow("secret")
  })

  it("fills in the defaults", () => {
    expect(create({ url: "http://h/s" })).toMatchObject({
      headers: {},
      params: {},
      signal: undefined,
      requestTimeoutMs: 60_000,
      backoff: { initialDelay: 100, maxRetries: Infinity },
    })
    expect(create({ url: "http://h/s", requestTimeoutMs: Infinity }).requestTimeoutMs).toBe(
      Infinity,
    )
  })

  it("takes any signal that aborts like one", () => {
    const foreign = { aborted: false, addEventListener: () => undefined }
    expect(create({ url: "http://h/s", signal: foreign }).signal).toBe(foreign)
  })
})

describe("extendEndpoint", () => {
  const fetch = vi.fn()
  const { signal } = new AbortController()
  const base = create({
    url: "http://h/s?x",
    headers: { A: "1", b: "1" },
    params: { p: "1", q: "1" },
    signal,
    backoffOptions: { maxRetries: 1 },
    requestTimeoutMs: 5,
  })

  it("changes nothing where nothing is given", () => {
    expect(extendEndpoint(base, {})).toEqual(base)
  })

  it("merges headers and params, replaces the rest, and keeps the signal", () => {
    const extended = extendEndpoint(base, {
      headers: { a: "2" },
      params: { q: undefined, r: "2" },
      fetch,
      backoffOptions: { maxRetries: 2 },
      requestTimeoutMs: 6,
    })
    expect(extended).toMatchObject({
      url: "http://h/s?x",
      headers: { a: "2", b: "1" },
      params: { p: "1", q: undefined, r: "2" },
      signal,
      fetch,
      backoff: { maxRetries: 2 },
      requestTimeoutMs: 6,
    })
    expect(extended.headers).not.toHaveProperty("A")
    expect(base.headers).toEqual({ A: "1", b: "1" })
  })

  it("checks what is given", () => {
    // Options that the types forbid.
    const bad = { headers: { a: 1 } } as unknown as object
    expect(() => extendEndpoint(base, bad)).toThrow("header a")
    expect(() => extendEndpoint(base, { params: { live: "x" } })).toThrow("live")
  })
})
