import { execFile } from "node:child_process"
import { existsSync, readdirSync } from "node:fs"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { basename, join } from "node:path"
import { pathToFileURL } from "node:url"
import { build, type Plugin } from "esbuild"
import { REPOSITORY, type CodeBlock } from "./code-block.ts"
import { startStage } from "./stage.ts"

/** Below the time limit of a test, and far above what a block takes on a busy machine. */
const TIME_LIMIT_MS = 50_000

/** What a block did. */
export interface BlockRun {
  readonly exitCode: number | string | undefined
  readonly stdout: string
  readonly stderr: string
}

/** Blocks, ready to be run as programs of their own. */
export interface Playhouse {
  run(block: CodeBlock): Promise<BlockRun>
  dispose(): Promise<void>
}

/** Compiles the blocks and the package's source that they import. */
export async function openPlayhouse(blocks: readonly CodeBlock[]): Promise<Playhouse> {
  const folder = await mkdtemp(join(tmpdir(), "durable-streams-docs-"))
  const entry = (block: CodeBlock) => `block-${blocks.indexOf(block)}`
  const sources = readdirSync(join(REPOSITORY, "src"))
  const capabilities = sources.filter((name) => existsSync(capabilityFile(name)))
  await build({
    entryPoints: {
      client: join(REPOSITORY, "src/index.ts"),
      ...Object.fromEntries(capabilities.map((name) => [name, capabilityFile(name)])),
      prelude: join(REPOSITORY, "test/docs/block-prelude.ts"),
    },
    outdir: folder,
    outExtension: { ".js": ".mjs" },
    bundle: true,
    splitting: true,
    format: "esm",
    platform: "node",
    banner: { js: REQUIRE },
  })
  await build({
    entryPoints: Object.fromEntries(blocks.map((block) => [entry(block), `block:${entry(block)}`])),
    outdir: folder,
    outExtension: { ".js": ".mjs" },
    bundle: true,
    format: "esm",
    platform: "node",
    target: "node20",
    plugins: [blockPlugin(new Map(blocks.map((block) => [entry(block), block])))],
  })
  return {
    run: (block) => runProgram(folder, `${entry(block)}.mjs`),
    dispose: () => rm(folder, { recursive: true }),
  }
}

function capabilityFile(name: string): string {
  return join(REPOSITORY, "src", name, "index.ts")
}

/** What a CommonJS dependency in an ESM bundle needs. */
const REQUIRE =
  "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);"

function blockPlugin(blocks: ReadonlyMap<string, CodeBlock>): Plugin {
  return {
    name: "blocks",
    setup(context) {
      context.onResolve({ filter: /^block:/ }, ({ path }) => ({
        path: path.slice("block:".length),
        namespace: "block",
      }))
      context.onLoad({ filter: /.*/, namespace: "block" }, ({ path }) => ({
        contents: blocks.get(path)!.code,
        loader: "ts",
        resolveDir: REPOSITORY,
      }))
      // One copy of the client for all blocks, and the server as it is installed.
      context.onResolve({ filter: /^@durable-streams\/client(\/\w+)?$/ }, ({ path }) => ({
        path: `./${basename(path)}.mjs`,
        external: true,
      }))
      context.onResolve({ filter: /^@durable-streams\/server$/ }, ({ path }) => ({
        path: import.meta.resolve(path),
        external: true,
      }))
    },
  }
}

/** Runs a program on a stage of its own. It has to come to its end by itself: nothing may keep the process alive. */
async function runProgram(folder: string, program: string): Promise<BlockRun> {
  const stage = await startStage()
  try {
    return await new Promise((resolve) => {
      execFile(
        process.execPath,
        ["--import", pathToFileURL(join(folder, "prelude.mjs")).href, program],
        {
          cwd: folder,
          timeout: TIME_LIMIT_MS,
          env: { ...process.env, NODE_ENV: "production", STREAMS_ORIGIN: stage.origin },
        },
        (error, stdout, stderr) => {
          const exitCode = error === null ? 0 : error.killed === true ? "timeout" : error.code
          resolve({ exitCode: exitCode ?? undefined, stdout, stderr })
        },
      )
    })
  } finally {
    await stage.stop()
  }
}
