import { execFile, type ExecFileException } from "node:child_process"
import { existsSync } from "node:fs"
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { promisify } from "node:util"
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, it } from "vitest"

const consumerFolder = inject("consumerFolder")
const packageFolder = inject("packageFolder")
const tanstackIntent = resolve(import.meta.dirname, "../../node_modules/@tanstack/intent")
const run = promisify(execFile)

interface Outcome {
  exitCode: number
  stdout: string
  stderr: string
}

/** Runs `intent` of a project's node_modules, and reports how it ended. */
function intent(args: string[], folder = consumerFolder): Promise<Outcome> {
  return runIn(folder, join(folder, "node_modules/.bin/intent"), args)
}

async function runIn(folder: string, program: string, args: string[]): Promise<Outcome> {
  try {
    return { exitCode: 0, ...(await run(program, args, { cwd: folder })) }
  } catch (error) {
    const { code, stdout, stderr } = error as ExecFileException
    return { exitCode: Number(code), stdout: stdout!, stderr: stderr! }
  }
}

async function tanstackList(folder: string): Promise<{ skillName: string; description: string }[]> {
  const program = join(tanstackIntent, "dist/cli.mjs")
  const { stdout } = await run(process.execPath, [program, "list", "--json"], { cwd: folder })
  return JSON.parse(stdout).skills
}

const skills = await readdir(join(packageFolder, "skills"))
const textOf = (skill: string) => readFile(join(packageFolder, "skills", skill, "SKILL.md"), "utf8")

describe("intent, after a plain install", () => {
  it("lists every skill, by npx and without being told anything", async () => {
    expect(skills.length).toBe(9)
    const { stdout } = await run("npx", ["--no", "intent"], { cwd: consumerFolder })
    for (const skill of skills) expect(stdout).toContain(`\n${skill} [`)
    expect(await intent(["list"])).toEqual({ exitCode: 0, stdout, stderr: "" })
  })

  it("reads names, descriptions and types as @tanstack/intent does, which finds the skills too", async () => {
    const { stdout } = await intent(["list", "--json"])
    const own: { name: string; description: string; type: string }[] = JSON.parse(stdout).skills
    const others = await tanstackList(consumerFolder)
    expect(own.map(({ name }) => name)).toEqual([...skills].sort())
    expect(others).toEqual(
      own.map(({ name, description, type }) =>
        expect.objectContaining({ skillName: name, description, type }),
      ),
    )
  })

  it("tells what a skill requires and refers to, all of which can be loaded", async () => {
    const list = JSON.parse((await intent(["list", "--json"])).stdout)
    const uses: string[] = list.skills.flatMap(
      ({ requires, references }: { requires: string[]; references: string[] }) => [
        ...requires,
        ...references,
      ],
    )
    expect(uses).toContain("server-deployment")
    expect(uses).toContain("reading-streams/references/stream-options")
    for (const use of uses) expect((await intent(["load", use])).exitCode, use).toBe(0)
  })

  it.each(skills)("prints %s, by its bare name and by the package's", async (skill) => {
    const text = await textOf(skill)
    const printed = { exitCode: 0, stdout: text, stderr: "" }
    expect(await intent(["load", skill])).toEqual(printed)
    expect(await intent(["load", `@durable-streams/client#${skill}`])).toEqual(printed)
  })

  it("gives a skill as JSON, and its place", async () => {
    const path = join(packageFolder, "skills/forking/SKILL.md")
    const { stdout } = await intent(["load", "forking", "--json"])
    expect(JSON.parse(stdout)).toMatchObject({
      skill: "forking",
      path,
      content: await textOf("forking"),
    })
    expect((await intent(["load", "forking", "--path"])).stdout).toBe(`${path}\n`)
  })

  it("says which skills there are when it is asked for another one", async () => {
    const { exitCode, stdout, stderr } = await intent(["load", "cooking"])
    expect({ exitCode, stdout }).toEqual({ exitCode: 1, stdout: "" })
    expect(stderr).toMatch(/no skill "cooking".*getting-started/)
  })

  it.each(["../package.json", "../README", "../../fastq/README.md", "/etc/passwd", ""])(
    "prints nothing outside of the skills: %j",
    async (use) => {
      expect(await intent(["load", use])).toMatchObject({ exitCode: 1, stdout: "" })
    },
  )

  it("has a name that no other package's program has", async () => {
    const program = join(consumerFolder, "node_modules/.bin/durable-streams-intent")
    const { stdout } = await runIn(consumerFolder, program, ["list"])
    expect(stdout).toBe((await intent(["list"])).stdout)
    expect(stdout).toContain("npx durable-streams-intent load <skill>")
    const help = (await intent(["--help"])).stdout
    expect(help.match(/^ {2}[\w-]+/gm)).toEqual(Array(7).fill("  durable-streams-intent"))
  })

  it.each(["constructor", "__proto__", "toString", "hasOwnProperty"])(
    "rejects %s, which every object has, as a command",
    async (command) => {
      const { exitCode, stdout, stderr } = await intent([command])
      expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: "" })
      expect(stderr).toContain(`The command "${command}" is not one of this package's`)
    },
  )

  it.each([
    ["a command", ["\u001B[2Jdance\u009B1m"]],
    ["an option", ["list", "--\u001B]0;title\u0007"]],
    ["a skill", ["load", "cook\u001B[31ming\u202E\u2028\u007F"]],
  ])("prints no control characters of %s", async (_case, args) => {
    const { exitCode, stderr } = await intent(args)
    expect(exitCode).toBeGreaterThan(0)
    expect(stderr).toContain("\\u001b")
    const control = [...stderr.replaceAll("\n", "")].filter((unit) =>
      /[\p{Control}\p{Format}\p{Zl}\p{Zp}]/u.test(unit),
    )
    expect(control).toEqual([])
  })

  it.each(["dance", "list forking", "list --path", "load", "load a b"])(
    "explains itself when it does not understand: intent %s",
    async (command) => {
      const { exitCode, stdout, stderr } = await intent(command.split(" "))
      expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: "" })
      expect(stderr).toContain("Usage:")
    },
  )

  it("has help, and a version", async () => {
    expect((await intent(["--help"])).stdout).toContain("Exit codes")
    expect((await intent(["--version"])).stdout).toMatch(/^\d+\.\d+\.\d+\n$/)
  })

  it("does not mind a reader that has seen enough", async () => {
    const { stderr } = await run("sh", ["-c", "node_modules/.bin/intent load forking | head -1"], {
      cwd: consumerFolder,
    })
    expect(stderr).toBe("")
  })

  it("weighs nothing on those who only import the library", async () => {
    const installed = await readdir(join(consumerFolder, "node_modules"))
    expect(installed.filter((name) => !name.startsWith("."))).toEqual([
      "@durable-streams",
      "fastq",
      "reusify",
    ])
    for (const file of ["bin/intent.js", "bin/durable-streams-intent.js"]) {
      const program = await readFile(join(packageFolder, file), "utf8")
      const imported = [...program.matchAll(/from "([^"]+)"/g)].map(([, name]) => name)
      expect(imported.every((name) => name!.startsWith("node:"))).toBe(true)
    }
    for (const file of ["dist/index.js", "dist/index.cjs"]) {
      expect(await readFile(join(packageFolder, file), "utf8")).not.toMatch(/bin\/intent|skills\//)
    }
  })
})

describe("intent, where @tanstack/intent is installed as well and lost its name to it", () => {
  let folder: string
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "durable-streams-intent-"))
    const modules = join(folder, "node_modules")
    for (const name of [".bin", "@durable-streams", "@tanstack"]) {
      await mkdir(join(modules, name), { recursive: true })
    }
    await symlink(packageFolder, join(modules, "@durable-streams/client"))
    await symlink(tanstackIntent, join(modules, "@tanstack/intent"))
    await symlink("../@durable-streams/client/bin/intent.js", join(modules, ".bin/intent"))
    await writeFile(
      join(folder, "package.json"),
      JSON.stringify({ name: "both", dependencies: { "@durable-streams/client": "*" } }),
    )
  })
  afterAll(() => rm(folder, { recursive: true }))

  it("hands its commands on", async () => {
    expect((await intent(["--help"], folder)).stdout).toContain("scaffold")
    const { stdout } = await intent(["list", "--json"], folder)
    expect(JSON.parse(stdout).packages).toMatchObject([{ name: "@durable-streams/client" }])
    const { stdout: text } = await intent(["load", "@durable-streams/client#forking"], folder)
    expect(text).toContain("# Durable Streams: Forking")
  })

  it("passes failures on", async () => {
    expect((await intent(["load", "@durable-streams/client#cooking"], folder)).exitCode).toBe(1)
  })

  it("still prints its own skills by their bare names", async () => {
    expect((await intent(["load", "forking"], folder)).stdout).toBe(await textOf("forking"))
    expect((await intent([], folder)).stdout).toContain("\nforking [core]")
  })
})

describe("intent, beside programs that it must not run", () => {
  let home: string
  /** Where a program leaves a trace if it is run. */
  let trace: string
  const spy = () =>
    `require("node:fs").writeFileSync(${JSON.stringify(trace)}, "ran"); console.log("not ours")`

  beforeEach(async () => {
    home = await mkdtemp(join(tmpdir(), "durable-streams-intent-"))
    trace = join(home, "trace")
  })
  afterEach(() => rm(home, { recursive: true }))

  /** A project with this package, its program under both names, and an @tanstack/intent with this manifest. */
  async function project(folder: string, manifest?: string): Promise<string> {
    const modules = join(folder, "node_modules")
    for (const name of [".bin", "@durable-streams", "@tanstack/intent"]) {
      await mkdir(join(modules, name), { recursive: true })
    }
    await symlink(packageFolder, join(modules, "@durable-streams/client"))
    for (const name of ["intent", "durable-streams-intent"]) {
      await symlink(`../@durable-streams/client/bin/${name}.js`, join(modules, ".bin", name))
    }
    await writeFile(join(modules, "@tanstack/intent/cli.js"), spy())
    if (manifest !== undefined) {
      await writeFile(join(modules, "@tanstack/intent/package.json"), manifest)
    }
    return folder
  }

  const ourList = expect.objectContaining({
    exitCode: 0,
    stdout: expect.stringContaining("\nforking [core]"),
    stderr: "",
  })

  it("runs no program of a node_modules above the working directory", async () => {
    await project(home, JSON.stringify({ bin: "cli.js" }))
    const folder = join(home, "downloads/some-project")
    await mkdir(folder, { recursive: true })
    const program = join(packageFolder, "bin/intent.js")
    const linked = join(consumerFolder, "node_modules/.bin/intent")
    for (const start of [program, linked]) {
      expect(await runIn(folder, start, ["list"])).toEqual(ourList)
    }
    expect(existsSync(trace)).toBe(false)
  })

  it("runs the program of the @tanstack/intent that is installed beside it, by its link and by its file", async () => {
    const folder = await project(home, JSON.stringify({ bin: { intent: "./cli.js" } }))
    expect((await intent(["list"], folder)).stdout).toBe("not ours\n")
    const shimmed = join(folder, "node_modules/@durable-streams/client/bin/intent.js")
    expect((await runIn(folder, shimmed, ["list"])).stdout).toBe("not ours\n")
  })

  it("runs only its own under the name that is its own", async () => {
    const folder = await project(home, JSON.stringify({ bin: "cli.js" }))
    const program = join(folder, "node_modules/.bin/durable-streams-intent")
    expect(await runIn(folder, program, ["list"])).toEqual(ourList)
    expect(existsSync(trace)).toBe(false)
  })

  it.each(["../../../outside.js", "/../../../outside.js", "link.js", ".", "../intent-2/cli.js"])(
    "runs no program outside of the package whose manifest names it: %s",
    async (bin) => {
      const folder = await project(home, JSON.stringify({ bin: { intent: bin } }))
      await writeFile(join(home, "outside.js"), spy())
      await mkdir(join(folder, "node_modules/@tanstack/intent-2"))
      await writeFile(join(folder, "node_modules/@tanstack/intent-2/cli.js"), spy())
      await symlink(join(home, "outside.js"), join(folder, "node_modules/@tanstack/intent/link.js"))
      expect(await intent(["list"], folder)).toEqual(ourList)
      expect(existsSync(trace)).toBe(false)
    },
  )

  it.each([
    ["is missing", undefined],
    ["is empty", ""],
    ["is not JSON", "{ bin"],
    ["is null", "null"],
    ["is a number", "7"],
    ["has no bin", "{}"],
    ["has a bin that is null", '{ "bin": null }'],
    ["has a bin that is a number", '{ "bin": 7 }'],
    ["has a bin with other names", '{ "bin": { "other": "cli.js" } }'],
    ["has a bin whose file is a number", '{ "bin": { "intent": 7 } }'],
    ["names a file that is not there", '{ "bin": "gone.js" }'],
    ["names nothing", '{ "bin": "" }'],
    ["names what no file can be called", '{ "bin": "\\u0000" }'],
  ])("does not crash if the other package's manifest %s", async (_case, manifest) => {
    const folder = await project(home, manifest)
    expect(await intent(["list"], folder)).toEqual(ourList)
  })
})
