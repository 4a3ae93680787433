#!/usr/bin/env node
/**
 * `intent`: the program of @tanstack/intent has this name too, and of the two the one that was installed last gets it. What
 * may be meant for the other program is passed on to it, if it is installed beside this package; everything else is done by
 * durable-streams-intent.js.
 */
import { spawnSync } from "node:child_process"
import { existsSync, readFileSync, realpathSync, statSync } from "node:fs"
import { basename, dirname, join, resolve, sep } from "node:path"
import { fileURLToPath } from "node:url"

/** Only this package's program lists skills if it is told nothing, and knows its own by their bare names. */
function isForThisPackage([command, use = ""]) {
  if (command === undefined) return true
  const skills = resolve(dirname(fileURLToPath(import.meta.url)), "../skills")
  return command === "load" && !use.includes("#") && hasSkill(skills, use)
}

function hasSkill(folder, use) {
  return [join(use, "SKILL.md"), `${use}.md`, use].some((file) => existsSync(join(folder, file)))
}

/**
 * The node_modules that this program was started from. Programs of any other folder, such as those above the working
 * directory, are not run: nobody said that they can be trusted.
 */
function ownModules() {
  const folder = dirname(process.argv[1])
  // A link in .bin, or the file itself (the shims of pnpm and of Windows).
  const modules = basename(folder) === ".bin" ? dirname(folder) : resolve(folder, "../../..")
  return basename(modules) === "node_modules" ? modules : undefined
}

/** The program of @tanstack/intent, or undefined if it is not installed or its manifest names no file of its own. */
function findTanstackIntent() {
  const modules = ownModules()
  if (modules === undefined) return undefined
  try {
    const root = realpathSync(join(modules, "@tanstack", "intent"))
    const bin = JSON.parse(readFileSync(join(root, "package.json"), "utf8"))?.bin
    const program = realpathSync(join(root, typeof bin === "string" ? bin : bin.intent))
    return program.startsWith(root + sep) && statSync(program).isFile() ? program : undefined
  } catch {
    // Not installed, or broken: then this package's program does what it can.
    return undefined
  }
}

const args = process.argv.slice(2)
const other = isForThisPackage(args) ? undefined : findTanstackIntent()
if (other === undefined) {
  await import("./durable-streams-intent.js")
} else {
  const { status } = spawnSync(process.execPath, [other, ...args], { stdio: "inherit" })
  process.exitCode = status ?? 1
}
