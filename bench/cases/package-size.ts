import { fileURLToPath } from "node:url"
import { brotliCompressSync } from "node:zlib"
import { SAME_CLIENT, type BenchCase, type Job } from "../case.ts"
import { kilobytes, milliseconds } from "../units.ts"

/** What a browser has to load: minified by esbuild, compressed by brotli. */
async function bundleBytes(entryUrl: string, what: string): Promise<number> {
  // Loaded here only: it would count as memory of every other case.
  const { build } = await import("esbuild")
  const entry = fileURLToPath(entryUrl)
  const result = await build({
    // Resolved from this file: below node_modules, the peer's name is the peer.
    stdin: {
      contents: `export ${what} from ${JSON.stringify(entry)}`,
      resolveDir: import.meta.dirname,
    },
    bundle: true,
    write: false,
    format: "esm",
    platform: "browser",
    target: "es2022",
    minify: true,
    external: ["react", "idb", "pg", "better-sqlite3"],
    logLevel: "error",
  })
  return brotliCompressSync(result.outputFiles[0]?.contents ?? "").byteLength
}

function bundleCase(name: string, title: string, what: string, atMost: number): BenchCase {
  return {
    name,
    rows: [{ title, metric: "bundle", target: { atMost }, show: kilobytes }],
    async client(_client, { contender, entries }: Job) {
      const entry = import.meta.resolve(entries[contender === "peer" ? "peer" : "ours"])
      return { bundle: await bundleBytes(entry, what) }
    },
  }
}

const CAPABILITIES = ["outbox", "store", "react", "tabs", "subscriptions", "testing"]

/** Each with what it needs of the rest, and without its optional peers. */
const capabilitySizes: BenchCase = {
  name: "bundle-capabilities",
  withoutPeer: true,
  rows: CAPABILITIES.map((name) => ({
    title: `bundle, minified + brotli: /${name} alone`,
    metric: name,
    target: {},
    show: kilobytes,
  })),
  async client(_client, { entries }) {
    const costs: Record<string, number> = {}
    for (const name of CAPABILITIES) {
      costs[name] = await bundleBytes(new URL(`${name}.js`, entries.ours).href, "*")
    }
    return costs
  },
}

/** What the package weighs before it does anything. */
export const packageCases: readonly BenchCase[] = [
  bundleCase("bundle", "bundle, minified + brotli: everything", "*", 25_000),
  bundleCase("bundle-stream", "bundle, minified + brotli: stream alone", "{ stream }", 13_500),
  capabilitySizes,
  {
    name: "import",
    rows: [
      {
        title: "import of the package in Node",
        metric: "import",
        target: { timesPeer: 0.95 },
        show: milliseconds,
      },
    ],
    // The worker has imported the client already; what that took is in its report.
    client: () => Promise.resolve({}),
  },
  {
    name: "import-dependency",
    notQuick: SAME_CLIENT,
    rows: [
      {
        title: "the same (floor: import of fastq alone, the one dependency)",
        metric: "import",
        target: {},
        show: milliseconds,
      },
    ],
    async floor() {
      // Finding the file is Node's work here too.
      const url = import.meta.resolve("fastq")
      const startedAt = performance.now()
      await import(url)
      return { import: performance.now() - startedAt }
    },
    client: () => Promise.resolve({}),
  },
]
