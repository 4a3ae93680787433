import { existsSync } from "node:fs"
import { dirname, join, normalize } from "node:path"
import { describe, expect, it } from "vitest"
import { markdownFiles, readText, REPOSITORY } from "./code-block.ts"

interface Link {
  readonly place: string
  readonly file: string
  readonly target: string
}

/** Text without code, line by line as it was. */
function prose(text: string): string {
  const blank = (code: string) => code.replace(/[^\n]/g, "")
  return text.replace(/^( *)```[\s\S]*?^\1```$/gm, blank).replace(/`[^`\n]*`/g, "``")
}

function linksOf(file: string): Link[] {
  return prose(readText(file))
    .split("\n")
    .flatMap((line, index) =>
      [...line.matchAll(/\]\(<?([^)>\s]+)>?\)/g)].map(([, target]) => ({
        place: `${file}:${index + 1}`,
        file,
        target: target!,
      })),
    )
}

/** The anchors of a text's headings, as the usual renderers make them. */
function anchorsOf(file: string): string[] {
  const seen = new Map<string, number>()
  const headings = readText(file)
    .replace(/^```[\s\S]*?^```$/gm, "")
    .matchAll(/^#{1,6} +(.+)$/gm)
  return [...headings].map(([, heading]) => {
    const slug = heading!
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\- _]/gu, "")
      .replaceAll(" ", "-")
    const count = seen.get(slug) ?? 0
    seen.set(slug, count + 1)
    return count === 0 ? slug : `${slug}-${count}`
  })
}

/** What is wrong with a link within the repository; undefined where it leads somewhere. */
function faultOf({ place, file, target }: Link): string | undefined {
  const [path = "", anchor] = target.split("#")
  const destination = path === "" ? file : normalize(join(dirname(file), path))
  if (!existsSync(join(REPOSITORY, destination))) return `${place}: no file ${destination}`
  if (anchor === undefined || anchorsOf(destination).includes(anchor)) return undefined
  return `${place}: no heading #${anchor} in ${destination}`
}

const links = markdownFiles().flatMap(linksOf)
const isExternal = ({ target }: Link) => /^[a-z]+:/.test(target)

describe("links", () => {
  it("lead to files and headings that are there", () => {
    const internal = links.filter((link) => !isExternal(link))
    expect(internal.length).toBeGreaterThan(30)
    expect(internal.map(faultOf).filter((fault) => fault !== undefined)).toEqual([])
  })

  it("to other places are HTTPS", () => {
    const others = links.filter(isExternal).filter(({ target }) => !target.startsWith("https://"))
    expect(others).toEqual([])
  })

  it("of the skills and guides stay within what is published", () => {
    const outside = links
      .filter((link) => /^(skills|docs)\//.test(link.file) && !isExternal(link))
      .map(({ place, file, target }) => ({
        place,
        path: normalize(join(dirname(file), target.split("#")[0]!)),
      }))
      .filter(({ path }) => !/^(skills|docs)(\/|$)|^README\.md$/.test(path))
    expect(outside).toEqual([])
  })
})
