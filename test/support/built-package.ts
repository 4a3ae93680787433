import { execFile } from "node:child_process"
import { cp, mkdir, writeFile } from "node:fs/promises"
import { join, resolve } from "node:path"
import { promisify } from "node:util"

const REPOSITORY = resolve(import.meta.dirname, "../..")
const run = promisify(execFile)

/**
 * Builds the package and lays it, with what it depends on, into `folder/node_modules`, as `npm install` would: programs
 * in that folder import it by its name. Leaves the project's own dist/ alone, so that builds do not get into each
 * other's way.
 */
export async function installBuiltPackage(folder: string): Promise<void> {
  const home = join(folder, "node_modules/@durable-streams/client")
  await mkdir(home, { recursive: true })
  const project = { private: true, dependencies: { "@durable-streams/client": "*" } }
  await writeFile(join(folder, "package.json"), JSON.stringify(project))
  await cp(join(REPOSITORY, "package.json"), join(home, "package.json"))
  const tsdown = join(REPOSITORY, "node_modules/tsdown/dist/run.mjs")
  await run(process.execPath, [tsdown, "--no-dts", "--out-dir", join(home, "dist")], {
    cwd: REPOSITORY,
  })
  for (const name of ["fastq", "reusify"]) {
    const installed = join(REPOSITORY, "node_modules", name)
    await cp(installed, join(folder, "node_modules", name), { recursive: true })
  }
}
