import { brotliCompressSync } from "node:zlib"
import * as esbuild from "esbuild"
import * as vite from "vite"
import { describe, expect, inject, it } from "vitest"
import { writeFile } from "node:fs/promises"
import { join } from "node:path"

const consumerFolder = inject("consumerFolder")
const EVERYTHING = 'export * from "@durable-streams/client"'
const STREAM_ALONE = 'export { stream } from "@durable-streams/client"'

interface Bundle {
  code: string
  /** The files that have a part in it. */
  inputs: string[]
}

async function bundleWithEsbuild(entry: string, external: string[] = []): Promise<Bundle> {
  const result = await esbuild.build({
    stdin: { contents: entry, resolveDir: consumerFolder },
    bundle: true,
    write: false,
    metafile: true,
    format: "esm",
    platform: "browser",
    target: "es2022",
    minify: true,
    external,
    logLevel: "silent",
  })
  expect(result.warnings).toEqual([])
  const [output] = Object.values(result.metafile.outputs)
  const inputs = Object.entries(output!.inputs)
    .filter(([, { bytesInOutput }]) => bytesInOutput > 0)
    .map(([file]) => file)
  return { code: result.outputFiles[0]!.text, inputs }
}

async function bundleWithVite(entry: string, external: string[] = []): Promise<Bundle> {
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
      rolldownOptions: { external },
    },
  })
  const outputs = Array.isArray(result) ? result : [result]
  const chunks = outputs
    .flatMap((built) => ("output" in built ? built.output : []))
    .filter((file) => file.type === "chunk")
  return {
    code: chunks.map((chunk) => chunk.code).join("\n"),
    inputs: chunks.flatMap((chunk) =>
      Object.entries(chunk.modules)
        .filter(([, { renderedLength }]) => renderedLength > 0)
        .map(([file]) => file),
    ),
  }
}

const brotliBytes = (code: string) => brotliCompressSync(code).byteLength
const kilobytes = (bytes: number) => `${(bytes / 1000).toFixed(2)} KB`

describe.each([
  ["esbuild", bundleWithEsbuild],
  ["Vite", bundleWithVite],
])("a browser bundle by %s", (_, bundle) => {
  it("has everything in it", async () => {
    const { code } = await bundle(EVERYTHING)
    expect(code.includes("IdempotentProducer")).toBe(true)
    expect(code.match(/\brequire\(|\bfrom\s*["']|\bimport\s*["'(]|node:/)).toBeNull()
  })

  it("needs no global of Node", async () => {
    // Without fastq, whose drained() asks for process.nextTick: the client never calls it.
    const { code } = await bundle(EVERYTHING, ["fastq"])
    expect(code.includes("IdempotentProducer")).toBe(true)
    expect(code.match(/\b(process|Buffer|__dirname|global|setImmediate)\b\s*[.[(]/)).toBeNull()
  })

  it("brings neither the producer nor its queue where only stream is imported", async () => {
    const { code, inputs } = await bundle(STREAM_ALONE)
    expect(inputs.filter((file) => /fastq|reusify|writing/.test(file))).toEqual([])
    expect(inputs.some((file) => file.includes("reading.js"))).toBe(true)
    expect(code.match(/Producer-Id|Stream-TTL|Stream-Forked-From/)).toBeNull()
  })
})

// The aim is 10.4 KB and 6.5 KB (bench/README.md says what weighs what). Until then these keep it from growing unseen.
describe("the size of a bundle, minified by esbuild and compressed by brotli", () => {
  it.each([
    ["everything", EVERYTHING, 38_000],
    ["stream alone", STREAM_ALONE, 21_300],
  ])("%s", async (name, entry, maxBytes) => {
    const { code } = await bundleWithEsbuild(entry)
    const bytes = brotliBytes(code)
    console.log(`${name}: ${kilobytes(bytes)} of at most ${kilobytes(maxBytes)}`)
    expect(bytes).toBeLessThanOrEqual(maxBytes)
  })
})
