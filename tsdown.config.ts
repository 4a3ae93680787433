import { defineConfig } from "tsdown"

// Two chunks, because fastq is CommonJS: a bundler drops it only together with the whole chunk that imports it,
// so who imports `stream` alone is spared it.
const isSource = (id: string) => /\/src\/.*(?<!\.d)\.ts$/.test(id) && !id.endsWith("/src/index.ts")
const isWriting = (id: string) =>
  isSource(id) && /\/src\/(write|producer)\/|\/(durable-stream|idempotent-producer)\.ts$/.test(id)
const isReading = (id: string) => isSource(id) && !isWriting(id)

export default defineConfig({
  entry: "src/index.ts",
  format: ["esm", "cjs"],
  platform: "neutral",
  target: ["es2022", "node18"],
  tsconfig: "tsconfig.src.json",
  sourcemap: true,
  minify: false,
  hash: false,
  dts: true,
  // Symbol.asyncDispose is in no lib of ES2022 and users need not name one that has it.
  banner: { dts: '/// <reference lib="esnext.disposable" />' },
  outputOptions: {
    minifyInternalExports: false,
    codeSplitting: {
      // A group takes along what its modules import: reading goes first and keeps what both share.
      groups: [
        { name: "reading", test: isReading, priority: 2 },
        { name: "writing", test: isWriting, priority: 1 },
      ],
    },
  },
})
