import { execFile } from "node:child_process"
import { existsSync, readdirSync } from "node:fs"
import { join } from "node:path"
import { promisify } from "node:util"
import { describe, expect, it } from "vitest"
import { markdownFiles, readText, REPOSITORY } from "./code-block.ts"

const run = promisify(execFile)
const { version, repository } = JSON.parse(readText("package.json"))
const names = readdirSync(join(REPOSITORY, "skills"))
const OWN_SOURCES = `durable-streams/durable-streams:${repository.directory}/`

function frontMatterOf(name: string): string {
  return /^---\n([\s\S]*?)\n---\n/.exec(readText(`skills/${name}/SKILL.md`))![1]!
}

function itemsOf(frontMatter: string, key: string): string[] {
  const list = new RegExp(`^${key}:\\n((?: +- .+\\n?)+)`, "m").exec(frontMatter)?.[1] ?? ""
  return [...list.matchAll(/- "?([^"\n]+)"?/g)].map(([, item]) => item!)
}

describe("the skills", () => {
  it("are those that the package promises", () => {
    expect(names.sort()).toEqual([
      "forking",
      "getting-started",
      "go-to-production",
      "outbox",
      "reading-streams",
      "server-deployment",
      "subscriptions",
      "troubleshooting",
      "writing-data",
    ])
  })

  it("pass the validation of @tanstack/intent without a warning", async () => {
    const program = join(REPOSITORY, "node_modules/@tanstack/intent/dist/cli.mjs")
    const { stdout } = await run(process.execPath, [program, "validate", "--check"], {
      cwd: REPOSITORY,
    })
    expect(stdout).toContain(`Validated ${names.length} skill files`)
    expect(stdout).not.toMatch(/warning/i)
  })

  it.each(names)("%s is for this version, and names sources and skills that are there", (name) => {
    const frontMatter = frontMatterOf(name)
    expect(frontMatter).toContain(`library_version: "${version}"`)
    expect(readText(`skills/${name}/SKILL.md`)).toContain(`For @durable-streams/client ${version}`)
    expect(itemsOf(frontMatter, "requires").filter((other) => !names.includes(other))).toEqual([])
    const own = itemsOf(frontMatter, "sources").filter((source) => source.startsWith(OWN_SOURCES))
    const missing = own.filter(
      (source) => !existsSync(join(REPOSITORY, source.slice(OWN_SOURCES.length))),
    )
    expect(missing).toEqual([])
  })

  it("name sources of their rules that are there", () => {
    const texts = markdownFiles().filter((file) => file.startsWith("skills/"))
    const sources = texts.flatMap((file) =>
      [...readText(file).matchAll(/^Source: (.+)$/gm)].map(([, source]) => source!),
    )
    expect(sources.length).toBeGreaterThan(20)
    const files = sources.filter((source) => source.startsWith("src/"))
    expect(files.filter((file) => !existsSync(join(REPOSITORY, file)))).toEqual([])
    const others = sources.filter((source) => !source.startsWith("src/"))
    expect(
      others.filter((source) => !/^(PROTOCOL\.md|@durable-streams\/server), /.test(source)),
    ).toEqual([])
  })
})
