import { existsSync, readdirSync, readFileSync, statSync } from "node:fs"
import { dirname, join, relative, resolve } from "node:path"
import { describe, expect, inject, it } from "vitest"

const packageFolder = inject("packageFolder")
const files = readdirSync(packageFolder, { recursive: true, encoding: "utf8" })
const read = (file: string) => readFileSync(join(packageFolder, file), "utf8")
const manifest = JSON.parse(read("package.json"))

/** Optional peers, and the exports that need them. */
const PEERS_OF: Readonly<Record<string, readonly string[]>> = {
  "dist/react.js": ["react"],
  "dist/react.cjs": ["react"],
}

/** Every file that package.json names. */
function namedFiles(value: unknown): string[] {
  if (typeof value === "string") return value.startsWith("./") ? [value] : []
  if (typeof value === "object" && value !== null) return Object.values(value).flatMap(namedFiles)
  return []
}

/** The sources that a map names, from the package's folder. */
function sourcesOf(map: string): string[] {
  const { sources, sourcesContent, mappings } = JSON.parse(read(map))
  expect(sourcesContent).toBeUndefined()
  expect(mappings.length).toBeGreaterThan(100 * sources.length)
  return sources.map((source: string) =>
    relative(packageFolder, resolve(packageFolder, dirname(map), source)),
  )
}

describe("the packed package", () => {
  it("holds what users need and nothing else", () => {
    const top = new Set(files.map((file) => file.split("/")[0]))
    expect([...top].filter((name) => !["skills", "bin"].includes(name!)).sort()).toEqual([
      "LICENSE",
      "README.md",
      "dist",
      "docs",
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
    const maps = files.filter((file) => file.endsWith(".map"))
    for (const kind of [".js", ".cjs", ".d.cts"]) {
      const ofKind = maps.filter((file) => file.replace(/^[^.]*/, "") === `${kind}.map`)
      const sources = ofKind.flatMap((file) => sourcesOf(file))
      expect(sources).toContain("src/durable-stream.ts")
      expect(sources.filter((source) => !existsSync(join(packageFolder, source)))).toEqual([])
    }
    expect(
      files.filter((file) => /^dist\/.*ts$/.test(file) && /reference lib/.test(read(file))),
    ).toEqual([])
  })

  it("declares everything once, for ES modules and CommonJS", () => {
    const ofModules = files.filter((file) => /^dist\/.*\.d\.ts$/.test(file))
    expect(ofModules).toContain("dist/index.d.ts")
    for (const file of ofModules) {
      const [, name] = /^dist\/(.*)\.d\.ts$/.exec(file)!
      expect(read(file)).toBe(`export * from "./${name}.cjs"\n`)
      expect(files).toContain(`dist/${name}.d.cts`)
    }
  })

  // The aim is 1.2 MB: it follows the size of src/, of which the package has the text, two builds and their maps.
  it("takes 1.35 MB at most, and 0.2 MB on average for each capability", () => {
    const capabilities = Object.keys(manifest.exports)
      .map((name) => name.slice(2))
      .filter((name) => existsSync(join(packageFolder, "src", name, "index.ts")))
    expect(capabilities).toContain("subscriptions")
    const isShared = (file: string) =>
      file.startsWith("dist/")
        ? /^dist\/(client|index|LICENSES)\./.test(file)
        : !capabilities.some((name) => file.startsWith(`src/${name}/`))
    const bytesOf = (some: string[]) =>
      some
        .map((file) => statSync(join(packageFolder, file)))
        .reduce((sum, entry) => sum + (entry.isFile() ? entry.size : 0), 0)
    const shared = bytesOf(files.filter(isShared))
    const rest = bytesOf(files) - shared
    console.log(`unpacked: ${shared / 1e6} MB, and ${rest / 1e6} MB of capabilities`)
    expect(shared).toBeLessThanOrEqual(1_350_000)
    expect(rest).toBeLessThanOrEqual(200_000 * capabilities.length)
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
        } else if (!PEERS_OF[file]?.includes(name!)) {
          expect(dependencies).toContain(name)
        }
      }
    }
  })
})
