import { execFile, type ExecFileException } from "node:child_process"
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { promisify } from "node:util"
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest"

const consumerFolder = inject("consumerFolder")
const packageFolder = inject("packageFolder")
const tanstackIntent = resolve(import.meta.dirname, "../../node_modules/@tanstack/intent")
const run = promisify(execFile)

interface Outcome {
  exitCode: number
  stdout: string
  stderr: string
}

/** Runs `intent` as it lies in a project's node_modules, and tells how it ended. */
async function intent(args: string[], folder = consumerFolder): Promise<Outcome> {
  try {
    const program = join(folder, "node_modules/.bin/intent")
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
    expect(skills.length).toBe(7)
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
    const program = await readFile(join(packageFolder, "bin/intent.js"), "utf8")
    const imported = [...program.matchAll(/from "([^"]+)"/g)].map(([, name]) => name)
    expect(imported.every((name) => name!.startsWith("node:"))).toBe(true)
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
