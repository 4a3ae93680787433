import { brotliCompressSync } from "node:zlib"
import * as esbuild from "esbuild"
import * as vite from "vite"
import { describe, expect, inject, it } from "vitest"
import { readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import * as client from "../../src/index.ts"

const consumerFolder = inject("consumerFolder")
const EVERYTHING = 'export * from "@durable-streams/client"'

async function bundleWithEsbuild(entry: string): Promise<string> {
  const result = await esbuild.build({
    stdin: { contents: entry, resolveDir: consumerFolder },
    bundle: true,
    write: false,
    format: "esm",
    platform: "browser",
    target: "es2022",
    minify: true,
    logLevel: "silent",
  })
  expect(result.warnings).toEqual([])
  return result.outputFiles[0]!.text
}

async function bundleWithVite(entry: string): Promise<string> {
  const input = join(consumerFolder, `entry-${entry.length}.js`)
  await writeFile(input, entry)
  const result = await vite.build({
    root: consumerFolder,
    configFile: false,
    logLevel: "silent",
    build: {
      write: false,
      lib: { entry: input, formats: ["es"] },
      minify: true,
    },
  })
  const outputs = Array.isArray(result) ? result : [result]
  return outputs
    .flatMap((built) => ("output" in built ? built.output : []))
    .map((file) => (file.type === "chunk" ? file.code : ""))
    .join("\n")
}

const only = (name: string) => `export { ${name} } from "@durable-streams/client"`
const brotliBytes = (code: string) => brotliCompressSync(code).byteLength
const kilobytes = (bytes: number) => `${(bytes / 1000).toFixed(2)} KB`

describe.each([
  ["esbuild", bundleWithEsbuild],
  ["Vite", bundleWithVite],
])("a browser bundle by %s", (_, bundle) => {
  it("has everything in it", async () => {
    const code = await bundle(EVERYTHING)
    expect(code.includes("IdempotentProducer")).toBe(true)
    expect(code.match(/\brequire\(|\bfrom\s*["'][@./a-z]|\bimport\s*["'(]|node:/)).toBeNull()
  })

  it("needs no global of Node", async () => {
    // fastq's drained() uses process.nextTick; the client never calls it.
    const code = (await bundle(EVERYTHING)).replace("process.nextTick", "")
    expect(code.match(/\b(process|Buffer|__dirname|global|setImmediate)\b\s*[.[(]/)).toBeNull()
  })

  it.each(["outbox", "store", "subscriptions", "tabs", "testing"])(
    "takes ./%s without the optional peers, which it imports when they are used",
    async (name) => {
      const code = await bundle(`export * from "@durable-streams/client/${name}"`)
      expect(code.match(/\brequire\(|\b(from|import)\s*["'][@./a-z]|["']node:/)).toBeNull()
    },
  )

  it("has neither the producer nor its queue if only stream is imported", async () => {
    const code = await bundle(only("stream"))
    expect(code.includes("Stream-Next-Offset")).toBe(true)
    expect(code.match(/fastqueue|IdempotentProducer|Producer-Id|Stream-TTL/)).toBeNull()
  })

  it.each(["STREAM_OFFSET_HEADER", "BackoffDefaults", "SSE_COMPATIBLE_CONTENT_TYPES"])(
    "has almost nothing else in it if only %s is imported",
    async (name) => {
      expect(brotliBytes(await bundle(only(name)))).toBeLessThanOrEqual(600)
    },
  )
})

// The aim is 25 KB, 13.5 KB and 0.6 KB (bench/README.md says what weighs what). Until then these keep it from growing unseen.
describe("the size of a bundle, minified by esbuild and compressed by brotli", () => {
  it.each([
    ["everything", EVERYTHING, 43_850],
    ["stream alone", only("stream"), 23_750],
  ])("%s", async (name, entry, maxBytes) => {
    const bytes = brotliBytes(await bundleWithEsbuild(entry))
    console.log(`${name}: ${kilobytes(bytes)} of at most ${kilobytes(maxBytes)}`)
    expect(bytes).toBeLessThanOrEqual(maxBytes)
  })

  it.each([
    ["everything", EVERYTHING, /all of\s`@durable-streams\/client` at most (\d+) KB/],
    ["stream alone", only("stream"), /`stream` alone has at most (\d+) KB/],
  ])("is what the README says: %s", async (_name, entry, said) => {
    const readme = await readFile(new URL("../../README.md", import.meta.url), "utf8")
    const saidBytes = Number(said.exec(readme)?.[1]) * 1000
    const bytes = brotliBytes(await bundleWithEsbuild(entry))
    expect(bytes).toBeLessThanOrEqual(saidBytes)
    expect(bytes).toBeGreaterThan(saidBytes * 0.9)
  })

  it.each([
    ["constant", 600],
    ["error class", 1_300],
  ])("a single %s: %i bytes at most", async (kind, maxBytes) => {
    const isAsked = (value: unknown) =>
      kind === "constant" ? typeof value !== "function" : isErrorClass(value)
    const names = Object.entries(client).filter(([, value]) => isAsked(value))
    expect(names.length).toBeGreaterThan(6)
    const sizes = await Promise.all(
      names.map(
        async ([name]) => [name, brotliBytes(await bundleWithEsbuild(only(name)))] as const,
      ),
    )
    expect(sizes.filter(([, bytes]) => bytes > maxBytes)).toEqual([])
  })
})

const isErrorClass = (value: unknown) =>
  typeof value === "function" && value.prototype instanceof Error
