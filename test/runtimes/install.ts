import { execFile } from "node:child_process"
import { mkdtemp, rm, stat } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import { build } from "esbuild"
import type { TestProject } from "vitest/node"
import { installBuiltPackage } from "../support/built-package.ts"

const BINARIES = join(import.meta.dirname, "binaries")
const EXAMPLES = join(import.meta.dirname, "../../examples/frameworks")
const run = promisify(execFile)

declare module "vitest" {
  export interface ProvidedContext {
    /** A project with the built package installed in it, and beside it the smoke programs. */
    smokeFolder: string
    /** The folder that has what of binaries/package.json could be installed. */
    binariesFolder: string
  }
}

/** Installs the runtimes, builds the package, and compiles the smoke programs: once, and the same for every runtime. */
export default async function install(project: TestProject): Promise<() => Promise<void>> {
  const folder = await mkdtemp(join(tmpdir(), "durable-streams-runtimes-"))
  await Promise.all([installBinaries(), installBuiltPackage(folder)])
  await compilePrograms(folder)
  project.provide("binariesFolder", join(BINARIES, "node_modules"))
  project.provide("smokeFolder", folder)
  return () => rm(folder, { recursive: true })
}

/** Installs the binaries, unless they are there since the lock file last changed. */
async function installBinaries(): Promise<void> {
  const changedMs = async (file: string) => (await stat(file).catch(() => undefined))?.mtimeMs ?? 0
  const installedMs = await changedMs(join(BINARIES, "node_modules/.package-lock.json"))
  if (installedMs >= (await changedMs(join(BINARIES, "package-lock.json")))) return
  try {
    await run("npm", ["ci", "--prefer-offline", "--no-audit", "--no-fund", "--ignore-scripts"], {
      cwd: BINARIES,
    })
  } catch (error) {
    console.warn("The runtimes could not be installed; their tests are left out.", error)
  }
}

async function compilePrograms(folder: string): Promise<void> {
  // Here the package's name means the built one, not its sources as in the project's own tsconfig.
  const tsconfigRaw = {}
  // The types are taken off and the cases put in; the package stays an import, resolved by each runtime.
  for (const name of ["smoke", "outbox", "importer", "offsets", "receiver"]) {
    await build({
      entryPoints: [join(import.meta.dirname, `${name}-main.ts`)],
      outfile: join(folder, `${name}.mjs`),
      bundle: true,
      external: ["@durable-streams/client", "@durable-streams/client/*", "node:*"],
      format: "esm",
      target: "es2022",
      tsconfigRaw,
    })
  }
  // Edge runtimes have no node_modules: their tools bundle, as is done here.
  const home = join(folder, "node_modules/@durable-streams/client")
  for (const [source, name] of [
    [join(import.meta.dirname, "smoke-worker.ts"), "worker"],
    [join(import.meta.dirname, "receiver-worker.ts"), "receiver-worker"],
    [join(EXAMPLES, "cloudflare-worker.ts"), "cloudflare-worker"],
  ] as const) {
    await build({
      entryPoints: [source],
      outfile: join(folder, `${name}.mjs`),
      bundle: true,
      format: "esm",
      target: "es2022",
      tsconfigRaw,
      conditions: ["workerd", "worker", "browser"],
      external: ["cloudflare:*"],
      alias: {
        "@durable-streams/client": home,
        "@durable-streams/client/subscriptions": join(home, "dist/subscriptions.js"),
      },
    })
  }
  await build({
    entryPoints: [join(EXAMPLES, "react-native.tsx")],
    outfile: join(folder, "react-native.cjs"),
    bundle: true,
    format: "cjs",
    target: "es2022",
    jsx: "automatic",
    tsconfigRaw,
    external: ["react", "react/jsx-runtime", "react-native"],
    alias: {
      "@durable-streams/client": home,
      "@durable-streams/client/react": join(home, "dist/react.js"),
    },
  })
}
