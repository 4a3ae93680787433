import { existsSync, readdirSync } from "node:fs"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { build } from "esbuild"
import type { TestProject } from "vitest/node"
import { installBuiltPackage } from "../support/built-package.ts"
import { findChromium } from "./chromium.ts"
import { knownBrowsers } from "./installed-browsers.ts"

declare module "vitest" {
  export interface ProvidedContext {
    /** The browser's binary; missing where there is none. */
    chromiumPath: string | undefined
    /** The script of the test page: the built package and page/main.ts in one file. */
    pageScript: string
    /** That of a worker of the test page, with page/worker.ts. */
    workerScript: string
  }
}

/** The exports of the package that is installed in a folder. */
function aliasesOf(folder: string): Record<string, string> {
  const capabilities = readdirSync("src").filter((name) => existsSync(`src/${name}/index.ts`))
  const client = "@durable-streams/client"
  return Object.fromEntries([
    [client, folder],
    ...capabilities.map((name) => [`${client}/${name}`, join(folder, `dist/${name}.js`)]),
  ])
}

/** Builds the package and bundles the test page with it, as an application would. */
export default async function setUp(project: TestProject): Promise<() => Promise<void>> {
  project.provide("chromiumPath", findChromium())
  for (const { name, packages, start } of knownBrowsers()) {
    if (start === undefined) {
      console.warn(`${name} is not installed (apt-get install ${packages}): its tests are skipped.`)
    }
  }
  const folder = await mkdtemp(join(tmpdir(), "durable-streams-browser-"))
  await installBuiltPackage(folder)
  const names = ["main", "worker"]
  const { outputFiles } = await build({
    entryPoints: names.map((name) => join(import.meta.dirname, `page/${name}.ts`)),
    outdir: "out",
    bundle: true,
    write: false,
    platform: "browser",
    format: "iife",
    target: "es2022",
    minify: true,
    // Here the package's name means the built one, not its sources as in the project's own tsconfig.
    tsconfigRaw: {},
    alias: aliasesOf(join(folder, "node_modules/@durable-streams/client")),
    // The package's optional peers.
    nodePaths: [join(import.meta.dirname, "../../node_modules")],
    define: { "process.env.NODE_ENV": '"production"' },
  })
  const [page, worker] = names.map((name) =>
    outputFiles.find(({ path }) => path.endsWith(`/${name}.js`)),
  )
  project.provide("pageScript", page?.text ?? "")
  project.provide("workerScript", worker?.text ?? "")
  return () => rm(folder, { recursive: true })
}
