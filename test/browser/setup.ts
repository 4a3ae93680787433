import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { build } from "esbuild"
import type { TestProject } from "vitest/node"
import { installBuiltPackage } from "../support/built-package.ts"
import { findChromium } from "./chromium.ts"

declare module "vitest" {
  export interface ProvidedContext {
    /** The browser's binary; missing where there is none. */
    chromiumPath: string | undefined
    /** The script of the test page: the built package and page/main.ts in one file. */
    pageScript: string
  }
}

/** Builds the package and bundles the test page with it, as an application would. */
export default async function setUp(project: TestProject): Promise<() => Promise<void>> {
  const chromiumPath = findChromium()
  project.provide("chromiumPath", chromiumPath)
  if (chromiumPath === undefined) {
    console.warn(
      "No Chromium is installed here (apt-get install chromium): its tests are left out.",
    )
    project.provide("pageScript", "")
    return () => Promise.resolve()
  }
  const folder = await mkdtemp(join(tmpdir(), "durable-streams-browser-"))
  await installBuiltPackage(folder)
  const { outputFiles } = await build({
    entryPoints: [join(import.meta.dirname, "page/main.ts")],
    bundle: true,
    write: false,
    platform: "browser",
    format: "iife",
    target: "es2022",
    minify: true,
    // Here the package's name means the built one, not its sources as in the project's own tsconfig.
    tsconfigRaw: {},
    alias: {
      "@durable-streams/client": join(folder, "node_modules/@durable-streams/client"),
    },
  })
  project.provide("pageScript", outputFiles[0]?.text ?? "")
  return () => rm(folder, { recursive: true })
}
