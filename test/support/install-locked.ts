import { execFile } from "node:child_process"
import { stat } from "node:fs/promises"
import { join } from "node:path"
import { promisify } from "node:util"

/**
 * Installs what a folder's lock file names, unless that is there since the file last changed. Peers are left out.
 *
 * @returns the folder's node_modules
 */
export async function installLocked(folder: string): Promise<string> {
  const modules = join(folder, "node_modules")
  const changedMs = async (file: string) => (await stat(file).catch(() => undefined))?.mtimeMs ?? 0
  const installedMs = await changedMs(join(modules, ".package-lock.json"))
  if (installedMs < (await changedMs(join(folder, "package-lock.json")))) {
    const options = ["--prefer-offline", "--no-audit", "--no-fund", "--legacy-peer-deps"]
    await promisify(execFile)("npm", ["ci", ...options], { cwd: folder })
  }
  return modules
}
