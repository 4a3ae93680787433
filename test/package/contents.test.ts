import { existsSync, readdirSync, readFileSync, statSync } from "node:fs"
import { dirname, join, resolve } from "node:path"
import { describe, expect, inject, it } from "vitest"

const packageFolder = inject("packageFolder")
const files = readdirSync(packageFolder, { recursive: true, encoding: "utf8" })
const read = (file: string) => readFileSync(join(packageFolder, file), "utf8")
const manifest = JSON.parse(read("package.json"))

/** Every file that package.json names. */
function namedFiles(value: unknown): string[] {
  if (typeof value === "string") return value.startsWith("./") ? [value] : []
  if (typeof value === "object" && value !== null) return Object.values(value).flatMap(namedFiles)
  return []
}

describe("the packed package", () => {
  it("holds what users need and nothing else", () => {
    const top = new Set(files.map((file) => file.split("/")[0]))
    expect([...top].filter((name) => !["skills", "bin"].includes(name!)).sort()).toEqual([
      "LICENSE",
      "README.md",
      "dist",
      "package.json",
      "src",
    ])
    expect(files.filter((file) => /\.(test|spec|bench)\./.test(file))).toEqual([])
  })

  it("has every file that its package.json names", () => {
    const { exports, main, module, types, bin } = manifest
    const named = namedFiles([exports, main, module, types, bin])
    expect(named.length).toBeGreaterThan(6)
    expect(named.filter((file) => !existsSync(join(packageFolder, file)))).toEqual([])
  })

  it("leads from every script and declaration to the sources, which it has once", () => {
    const built = files.filter((file) => /^dist\/.*\.(c?js|d\.c?ts)$/.test(file))
    expect(built.sort()).toEqual(
      ["index.cjs", "index.d.cts", "index.d.ts", "index.js"].map((file) => `dist/${file}`),
    )
    for (const file of built) {
      const map = JSON.parse(read(`${file}.map`))
      const folder = dirname(join(packageFolder, file))
      const sources: string[] = map.sources
      expect(sources.some((source) => source.endsWith("src/durable-stream.ts"))).toBe(true)
      expect(sources.filter((source) => !existsSync(resolve(folder, source)))).toEqual([])
      expect(map.sourcesContent ?? []).toEqual([])
      expect(map.mappings.length).toBeGreaterThan(1000)
    }
  })

  it("takes 1.2 MB at most", () => {
    const sizes = files
      .map((file) => statSync(join(packageFolder, file)))
      .filter((entry) => entry.isFile())
    const bytes = sizes.reduce((sum, { size }) => sum + size, 0)
    console.log(`unpacked: ${(bytes / 1e6).toFixed(2)} MB`)
    expect(bytes).toBeLessThanOrEqual(1_200_000)
  })

  it("imports only its own files and its dependencies", () => {
    const dependencies = Object.keys(manifest.dependencies)
    expect(dependencies).toEqual(["fastq"])
    for (const file of files.filter((name) => /^dist\/.*js$/.test(name))) {
      const imported = read(file).matchAll(
        /(?:^import .*?from |^import |\brequire\()["']([^"']+)["']/gm,
      )
      for (const [, name] of imported) {
        if (name!.startsWith(".")) {
          expect(existsSync(resolve(packageFolder, dirname(file), name!)), name).toBe(true)
        } else {
          expect(dependencies).toContain(name)
        }
      }
    }
  })
})
