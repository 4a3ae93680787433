import { afterEach, beforeEach, describe, expect, it, vi } from "vitest"

async function load() {
  vi.resetModules()
  return (await import("../../../src/platform/http-warning.ts")).warnIfUsingHttpInBrowser
}

beforeEach(() => {
  vi.stubEnv("NODE_ENV", "production")
})

afterEach(() => {
  vi.unstubAllEnvs()
  vi.unstubAllGlobals()
  vi.restoreAllMocks()
})

describe("warnIfUsingHttpInBrowser", () => {
  function installBrowser() {
    vi.stubGlobal("window", {})
    vi.stubGlobal("document", {})
    return vi.spyOn(console, "warn").mockReturnValue()
  }

  it("warns once for an origin, without its path and query", async () => {
    const warn = await load()
    const warnings = installBrowser()
    warn("http://a.test/s?token=secret")
    warn(new URL("http://a.test/other"))
    expect(warnings).toHaveBeenCalledOnce()
    expect(warnings.mock.calls[0]?.[0]).toContain("http://a.test ")
    expect(warnings.mock.calls[0]?.[0]).not.toContain("secret")
    warn("http://b.test/s")
    expect(warnings).toHaveBeenCalledTimes(2)
  })

  it("resolves a relative URL against the page", async () => {
    const warn = await load()
    const warnings = installBrowser()
    vi.stubGlobal("location", { href: "http://page.test/" })
    warn("/relative")
    expect(warnings).toHaveBeenCalledOnce()
  })

  it("is quiet over HTTPS, for what is no URL, and if it is disabled", async () => {
    const warn = await load()
    const warnings = installBrowser()
    warn("https://a.test/s")
    warn("no url")
    warn("http://a.test/s", false)
    expect(warnings).not.toHaveBeenCalled()
  })

  it.each(["localhost", "localhost:4437", "127.0.0.1", "127.0.0.2:80", "[::1]", "app.localhost"])(
    "is quiet for %s, which development servers use",
    async (host) => {
      const warn = await load()
      const warnings = installBrowser()
      warn(`http://${host}/s`)
      expect(warnings).not.toHaveBeenCalled()
    },
  )

  it.each(["localhost.test", "notlocalhost", "10.0.0.1", "127.0.0.1.test"])(
    "warns for %s, which is another machine",
    async (host) => {
      const warn = await load()
      const warnings = installBrowser()
      warn(`http://${host}/s`)
      expect(warnings).toHaveBeenCalledOnce()
    },
  )

  it("is quiet on a server, and where there is a window without a document (React Native)", async () => {
    const warn = await load()
    const warnings = vi.spyOn(console, "warn").mockReturnValue()
    warn("http://a.test/s")
    vi.stubGlobal("window", globalThis)
    warn("http://a.test/s")
    expect(warnings).not.toHaveBeenCalled()
  })

  it("is quiet under NODE_ENV=test", async () => {
    const warn = await load()
    const warnings = installBrowser()
    vi.stubEnv("NODE_ENV", "test")
    warn("http://a.test/s")
    expect(warnings).not.toHaveBeenCalled()
  })

  it.each([
    ["without a console", undefined],
    ["whose console cannot warn", {}],
  ])("does not fail in a page %s", async (_case, page) => {
    const warn = await load()
    installBrowser()
    vi.stubGlobal("console", page)
    warn("http://a.test/s")
    vi.unstubAllGlobals()
  })

  it("warns in a page without Node's process", async () => {
    const warn = await load()
    const warnings = installBrowser()
    vi.stubGlobal("process", undefined)
    warn("http://a.test/s")
    vi.unstubAllGlobals()
    expect(warnings).toHaveBeenCalledOnce()
  })
})
