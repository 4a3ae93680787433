import { execFile } from "node:child_process"
import { cp, mkdir, mkdtemp, readdir, rm, symlink, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { promisify } from "node:util"
import type { TestProject } from "vitest/node"
import { installLocked } from "../support/install-locked.ts"

const REPOSITORY = resolve(import.meta.dirname, "../..")
const run = promisify(execFile)

declare module "vitest" {
  export interface ProvidedContext {
    /** An otherwise empty project in which the packed package was installed. */
    consumerFolder: string
    /** The package as it lies there. */
    packageFolder: string
    /** Where the compilers and platform types of compilers/package.json are installed. */
    compilersFolder: string
    /** A project with the packages of dependants/package.json, in which the packed package is their client. */
    dependantsFolder: string
    /** The conformance suite of the protocol's servers, in which the packed package is the client. */
    conformanceSuite: string
    /** Where jest and its environments of jest-project/package.json are installed; undefined if they cannot be. */
    jestFolder: string | undefined
    /** The example of Next with its packages, and the packed one among them; undefined if they cannot be installed. */
    nextFolder: string | undefined
    /** Where the frameworks of frameworks/package.json are installed. */
    frameworksFolder: string
  }
}

/** Packs the package as `npm publish` would and installs it, once for all package tests, in an empty project. */
export default async function install(project: TestProject): Promise<() => Promise<void>> {
  const home = await mkdtemp(join(tmpdir(), "durable-streams-package-"))
  const consumer = join(home, "consumer")
  await mkdir(consumer)
  await run("npm", ["pack", "--pack-destination", home], { cwd: REPOSITORY })
  const tarball = (await readdir(home)).find((name) => name.endsWith(".tgz"))
  if (tarball === undefined) throw new Error("npm pack left no tarball")
  await writeFile(join(consumer, "package.json"), '{ "name": "consumer", "private": true }')
  await run("npm", ["install", "--prefer-offline", "--no-audit", "--no-fund", `../${tarball}`], {
    cwd: consumer,
  })
  project.provide("compilersFolder", await installLocked(join(import.meta.dirname, "compilers")))
  const jest = installLocked(join(import.meta.dirname, "jest-project"))
  project.provide("jestFolder", await jest.catch(notInstalled("Jest")))
  const next = join(REPOSITORY, "examples/frameworks/next")
  const nextModules = await installLocked(next).catch(notInstalled("Next"))
  project.provide("nextFolder", nextModules && next)
  project.provide("frameworksFolder", await installLocked(join(import.meta.dirname, "frameworks")))
  const dependants = join(home, "dependants")
  const options = { recursive: true }
  // Without peers: of the AI SDK the tests need the messages' shape only.
  const modules = await installLocked(join(import.meta.dirname, "dependants"))
  await cp(modules, join(dependants, "node_modules"), options)
  await rm(join(dependants, "node_modules/@durable-streams/client"), options)
  await cp(join(consumer, "node_modules"), join(dependants, "node_modules"), options)
  if (nextModules !== undefined) await cp(join(consumer, "node_modules"), nextModules, options)
  project.provide("dependantsFolder", dependants)
  project.provide("conformanceSuite", await installConformanceSuite(home, consumer))
  project.provide("consumerFolder", consumer)
  project.provide("packageFolder", join(consumer, "node_modules/@durable-streams/client"))
  return () => rm(home, { recursive: true })
}

/** @returns the suite's module. Its vitest is the one that runs these tests. */
async function installConformanceSuite(home: string, consumer: string): Promise<string> {
  const modules = join(home, "conformance/node_modules")
  const name = "@durable-streams/server-conformance-tests"
  await cp(join(consumer, "node_modules"), modules, { recursive: true })
  await cp(join(REPOSITORY, "node_modules", name), join(modules, name), { recursive: true })
  for (const dependency of ["vitest", "fast-check"]) {
    await symlink(join(REPOSITORY, "node_modules", dependency), join(modules, dependency))
  }
  return join(modules, name, "dist/index.js")
}

function notInstalled(name: string): (error: unknown) => undefined {
  return (error) => {
    console.warn(`${name} cannot be installed; its tests are skipped.`, error)
    return undefined
  }
}
