import { spawnSync } from "node:child_process"
import { copyFileSync, mkdirSync, writeFileSync } from "node:fs"
import path from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"
import { build } from "esbuild"
import type { Contender } from "./case.ts"

const root = fileURLToPath(new URL("..", import.meta.url))
/**
 * Below node_modules, where a package is not itself: there `@durable-streams/client` is the published client, which is
 * installed beside the reference server.
 */
const folder = path.join(root, "node_modules/.cache/bench")

/** The files that the processes of a run are started with. */
export interface BuiltFiles {
  readonly worker: string
  readonly minimalServer: string
  readonly referenceServer: string
  readonly entries: Readonly<Record<"peer" | "ours", string>>
  readonly pageScripts: Readonly<Record<Contender, string>>
}

/** Builds this package as it is published, and the programs that measure it: plain JavaScript, so that no loader is measured. */
export async function buildAll(): Promise<BuiltFiles> {
  const ours = path.join(folder, "ours/dist")
  mkdirSync(ours, { recursive: true })
  // Bundlers look for the enclosing package's own name first: it must not be this one's.
  writeFileSync(path.join(folder, "package.json"), "{}")
  // Bundlers read there that the package has no side effects.
  copyFileSync(path.join(root, "package.json"), path.join(folder, "ours/package.json"))
  const tsdown = spawnSync(
    process.execPath,
    [
      path.join(root, "node_modules/tsdown/dist/run.mjs"),
      "--out-dir",
      ours,
      "--no-dts",
      "--no-sourcemap",
    ],
    { cwd: root, encoding: "utf8" },
  )
  if (tsdown.status !== 0)
    throw new Error(`The package does not build:\n${tsdown.stderr}${tsdown.stdout}`)
  await build({
    entryPoints: {
      worker: path.join(root, "bench/worker.ts"),
      "minimal-server": path.join(root, "bench/server/main.ts"),
      "reference-server": path.join(root, "bench/server/reference.ts"),
    },
    outdir: folder,
    outExtension: { ".js": ".mjs" },
    bundle: true,
    platform: "node",
    format: "esm",
    packages: "external",
    logLevel: "error",
  })
  const entries = {
    ours: pathToFileURL(path.join(ours, "index.js")).href,
    peer: "@durable-streams/client",
  }
  const pageScript = async (contender: Contender, entry?: string) => {
    const outfile = path.join(folder, `page-${contender}.js`)
    const readers = path.join(root, "bench/browser/readers.ts")
    const load = entry === undefined ? "" : `import { stream } from ${JSON.stringify(entry)}`
    const reader = entry === undefined ? "floor" : "client(stream)"
    const contents = `${load}
      import { client, floor } from ${JSON.stringify(readers)}
      globalThis.reader = ${reader}`
    await build({
      stdin: { contents, resolveDir: folder },
      outfile,
      bundle: true,
      platform: "browser",
      format: "iife",
      target: "es2022",
      minify: true,
      // Here the package's name means the published client, not the sources as in the project's own tsconfig.
      tsconfigRaw: {},
      logLevel: "error",
    })
    return outfile
  }
  return {
    entries,
    pageScripts: {
      floor: await pageScript("floor"),
      peer: await pageScript("peer", entries.peer),
      ours: await pageScript("ours", path.join(ours, "index.js")),
    },
    worker: path.join(folder, "worker.mjs"),
    minimalServer: path.join(folder, "minimal-server.mjs"),
    referenceServer: path.join(folder, "reference-server.mjs"),
  }
}
