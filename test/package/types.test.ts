import { execFile } from "node:child_process"
import { copyFile, cp, mkdir, writeFile } from "node:fs/promises"
import { createRequire } from "node:module"
import { dirname, join } from "node:path"
import { promisify } from "node:util"
import type * as TypeScript from "typescript"
import { beforeAll, describe, expect, inject, it } from "vitest"

const run = promisify(execFile)
const require = createRequire(import.meta.url)
const consumerFolder = inject("consumerFolder")
const packageFolder = inject("packageFolder")
const compilersFolder = inject("compilersFolder")

type Resolution = "node16" | "bundler" | "node10"

/** What a user's tsconfig.json may give the program to know its platform by. */
const PLATFORMS = {
  "DOM types only": { dom: true },
  "@types/node 18 only": { dom: false, node: "types-node-18" },
  "@types/node 26 only": { dom: false, node: "types-node-26" },
  "DOM and Node types": { dom: true, node: "types-node-18" },
} satisfies Record<string, { dom: boolean; node?: string }>
type Platform = keyof typeof PLATFORMS

function compilerOptions(resolution: Resolution, platform: Platform, compiler: string): object {
  return {
    target: "es2022",
    module: resolution === "node16" ? "node16" : resolution === "node10" ? "commonjs" : "esnext",
    moduleResolution: resolution,
    ...(resolution === "node10" && compiler === "typescript-6"
      ? { ignoreDeprecations: "6.0" }
      : {}),
    strict: true,
    exactOptionalPropertyTypes: true,
    noUncheckedIndexedAccess: true,
    skipLibCheck: false,
    noEmit: true,
    lib: PLATFORMS[platform].dom ? ["ES2022", "DOM"] : ["ES2022"],
    types: "node" in PLATFORMS[platform] ? ["node"] : [],
  }
}

const PROGRAMS = ["program", "capabilities", "earlier-program"]

/** The same programs as ES modules and as CommonJS where the compiler tells them apart. */
const endings = (resolution: Resolution) => (resolution === "node16" ? ["mts", "cts"] : ["ts"])

/** A folder whose only platform types are those of the platform. */
async function platformFolder(platform: Platform): Promise<string> {
  const folder = join(consumerFolder, slug(platform))
  const modules = join(folder, "node_modules")
  const types = PLATFORMS[platform]
  await mkdir(modules, { recursive: true })
  if ("node" in types) {
    await cp(join(compilersFolder, types.node), join(modules, "@types/node"), { recursive: true })
    await cp(join(compilersFolder, "undici-types"), join(modules, "undici-types"), {
      recursive: true,
    })
  }
  return folder
}

const slug = (name: string) => name.replaceAll(/[^\w.]+/g, "-")

async function project(
  resolution: Resolution,
  platform: Platform,
  compiler: string,
): Promise<string> {
  const folder = join(consumerFolder, slug(platform), `${compiler}-${resolution}`)
  const files: string[] = []
  await mkdir(folder, { recursive: true })
  for (const program of PROGRAMS) {
    for (const ending of endings(resolution)) {
      const file = `${program}.${ending}`
      await copyFile(join(import.meta.dirname, `consumer/${program}.ts`), join(folder, file))
      files.push(file)
    }
  }
  const config = { compilerOptions: compilerOptions(resolution, platform, compiler), files }
  await writeFile(join(folder, "tsconfig.json"), JSON.stringify(config))
  return folder
}

const sourceFiles = new Map<string, TypeScript.SourceFile | undefined>()

/** Diagnostics of the program and of the package's own declarations; those of others' are not ours to mend. */
function checkWithApi(compiler: string, folder: string): string[] {
  const ts = require(join(compilersFolder, compiler)) as typeof TypeScript
  const configFile = join(folder, "tsconfig.json")
  const read = ts.readConfigFile(configFile, (path) => ts.sys.readFile(path))
  const parsed = ts.parseJsonConfigFileContent(read.config, ts.sys, folder, undefined, configFile)
  const host = ts.createCompilerHost(parsed.options)
  const readSourceFile = host.getSourceFile.bind(host)
  host.getSourceFile = (file, ...rest) => {
    if (dirname(file) !== dirname(ts.getDefaultLibFilePath(parsed.options))) {
      return readSourceFile(file, ...rest)
    }
    if (!sourceFiles.has(file)) sourceFiles.set(file, readSourceFile(file, ...rest))
    return sourceFiles.get(file)
  }
  const program = ts.createProgram(parsed.fileNames, parsed.options, host)
  const ours = program
    .getSourceFiles()
    .filter(({ fileName }) => fileName.startsWith(folder) || fileName.startsWith(packageFolder))
  expect(ours.some(({ fileName }) => fileName.startsWith(packageFolder))).toBe(true)
  const diagnostics = [
    ...parsed.errors,
    ...program.getOptionsDiagnostics(),
    ...ours.flatMap((file) => [
      ...program.getSyntacticDiagnostics(file),
      ...program.getSemanticDiagnostics(file),
    ]),
  ]
  return diagnostics.map((diagnostic) => ts.formatDiagnostic(diagnostic, host).trim())
}

async function checkWithCli(compiler: string, folder: string): Promise<string[]> {
  const tsc = join(compilersFolder, compiler, "bin/tsc")
  const arguments_ = [tsc, "-p", folder, "--pretty", "false"]
  const output = await run(process.execPath, arguments_, { cwd: consumerFolder }).catch(
    (error: unknown) => {
      // What tsc rejects stands on its standard output; anything else is a crash.
      if (error instanceof Error && "stdout" in error && /error TS/.test(String(error.stdout))) {
        return { stdout: String(error.stdout) }
      }
      throw error
    },
  )
  return output.stdout
    .split("\n")
    .filter((line) => /error TS/.test(line) && !/node_modules\/(?!@durable-streams)/.test(line))
}

beforeAll(async () => {
  for (const platform of Object.keys(PLATFORMS) as Platform[]) await platformFolder(platform)
})

const EVERY_RESOLUTION: Resolution[] = ["node16", "bundler", "node10"]

describe.each<[string, Resolution[], Platform[], (compiler: string, folder: string) => unknown]>([
  [
    "typescript-5.0",
    EVERY_RESOLUTION,
    ["DOM types only", "@types/node 18 only", "DOM and Node types"],
    checkWithApi,
  ],
  ["typescript-5.9", EVERY_RESOLUTION, ["DOM types only", "@types/node 26 only"], checkWithApi],
  ["typescript-6", EVERY_RESOLUTION, ["DOM types only", "@types/node 26 only"], checkWithApi],
  [
    "typescript-7",
    ["node16", "bundler"],
    ["DOM types only", "@types/node 18 only", "@types/node 26 only"],
    checkWithCli,
  ],
])("%s", (compiler, resolutions, platforms, check) => {
  it.each(
    resolutions.flatMap((resolution) =>
      platforms.map((platform) => [resolution, platform] as const),
    ),
  )("resolves by %s with %s", async (resolution, platform) => {
    const folder = await project(resolution, platform, compiler)
    expect(await check(compiler, folder)).toEqual([])
  })
})
