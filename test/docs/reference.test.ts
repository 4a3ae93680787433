import { execFile } from "node:child_process"
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { dirname, join, relative } from "node:path"
import { promisify } from "node:util"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { REPOSITORY } from "./code-block.ts"

// Compilers are slow on a busy machine; what counts is what they say.
const TIMEOUT_MS = 600_000

describe("The site of npm run docs", () => {
  let site: string
  let output: string
  beforeAll(async () => {
    site = await mkdtemp(join(tmpdir(), "durable-streams-site-"))
    const program = join(REPOSITORY, "node_modules/typedoc/bin/typedoc")
    const options = ["--out", site, "--treatWarningsAsErrors", "false"]
    const { stdout, stderr } = await promisify(execFile)(process.execPath, [program, ...options], {
      cwd: REPOSITORY,
    })
    output = stdout + stderr
  }, TIMEOUT_MS)
  afterAll(() => rm(site, { recursive: true, force: true }))

  it("covers every name that users meet, without a warning", () => {
    expect(output.split("\n").filter((line) => /warning|error/i.test(line))).toEqual([])
  })

  it("has every guide under its title, and a search that finds guides and names", () => {
    const guides = readdirSync(join(REPOSITORY, "docs"))
    const pages = readdirSync(join(site, "documents"))
    expect(pages.length).toBe(guides.length)
    expect(pages).toEqual(expect.arrayContaining(["Exactly_once.html", "Testing.html"]))
    expect(existsSync(join(site, "assets/search.js"))).toBe(true)
    expect(readFileSync(join(site, "index.html"), "utf8")).toContain("tsd-search")
  })

  it("has every heading of a guide, whole, in the menu beside it", () => {
    const missing = readdirSync(join(REPOSITORY, "docs")).flatMap((file) => {
      const text = readFileSync(join(REPOSITORY, "docs", file), "utf8").replace(
        /^```[^]*?^```/gm,
        "",
      )
      const [title, ...headings] = [...text.matchAll(/^#{1,3} (.+)$/gm)].map(([, words]) => words!)
      const page = `${title!.replaceAll(" ", "_")}.html`
      const menu = readFileSync(join(site, "documents", page), "utf8").split(
        "tsd-page-navigation",
      )[1]
      const names = menu?.replaceAll("<wbr/>", "").replaceAll("&#39;", "'")
      return headings.filter((words) => !names?.includes(`<span>${words}</span>`))
    })
    expect(missing).toEqual([])
  })

  it("has no link that leads nowhere", () => {
    const pages = readdirSync(site, { recursive: true, encoding: "utf8" })
      .filter((name) => name.endsWith(".html"))
      .map((name) => join(site, name))
    const texts = new Map(pages.map((page) => [page, readFileSync(page, "utf8")]))
    const links = [...texts].flatMap(([page, text]) =>
      [...text.matchAll(/<a [^>]*href="([^"]+)"/g)].map(([, href]) => ({ page, href: href! })),
    )
    const internal = links.filter(({ href }) => !/^[a-z]+:/.test(href))
    expect(internal.length).toBeGreaterThan(1000)
    const dead = internal.filter(({ page, href }) => {
      const [path = "", anchor = ""] = decodeURI(href).split("#")
      const target = path === "" ? page : join(dirname(page), path)
      if (!existsSync(target)) return true
      // A script of typedoc draws the hierarchy.
      if (target.endsWith("hierarchy.html")) return false
      const text = texts.get(target)
      return anchor !== "" && text !== undefined && !text.includes(`id="${anchor}"`)
    })
    expect([...new Set(dead.map(({ page, href }) => `${relative(site, page)}: ${href}`))]).toEqual(
      [],
    )
  })
})
