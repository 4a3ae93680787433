import { execFile } from "node:child_process"
import { stat } from "node:fs/promises"
import { join } from "node:path"
import { promisify } from "node:util"
import type { TestProject } from "vitest/node"

const FOLDER = join(import.meta.dirname, "better-sqlite3")
const run = promisify(execFile)

declare module "vitest" {
  export interface ProvidedContext {
    /** Where better-sqlite3 is installed; empty if it could not be. */
    betterSqlite3: string
  }
}

/** Installs better-sqlite3, unless it is there since its lock file last changed. */
export default async function install(project: TestProject): Promise<void> {
  const changedMs = async (file: string) =>
    (await stat(join(FOLDER, file)).catch(() => undefined))?.mtimeMs ?? 0
  const installed = "node_modules/.package-lock.json"
  try {
    if ((await changedMs(installed)) < (await changedMs("package-lock.json"))) {
      // Compiled, for a minute or two: binaries would come from a place that is not the registry.
      const env = { ...process.env, npm_config_build_from_source: "true" }
      await run("npm", ["ci", "--no-audit", "--no-fund"], { cwd: FOLDER, env, timeout: 600_000 })
    }
  } catch (error) {
    console.warn("better-sqlite3 could not be installed; its tests are skipped.", error)
  }
  const folder = join(FOLDER, "node_modules/better-sqlite3")
  project.provide("betterSqlite3", (await stat(folder).catch(() => undefined)) ? folder : "")
}
