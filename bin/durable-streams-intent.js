#!/usr/bin/env node
/**
 * `durable-streams-intent`, and `intent` unless that is for @tanstack/intent (intent.js): lists and prints the skills that
 * this package ships for coding agents. It reads the files beside it and imports nothing but Node itself, and the library
 * does not import it.
 */
import { existsSync, readdirSync, readFileSync, realpathSync } from "node:fs"
import { dirname, join, relative, resolve, sep } from "node:path"
import { fileURLToPath } from "node:url"

const PACKAGE_FOLDER = resolve(dirname(fileURLToPath(import.meta.url)), "..")
const SKILLS_FOLDER = join(PACKAGE_FOLDER, "skills")
const { name: PACKAGE, version: VERSION } = JSON.parse(read(join(PACKAGE_FOLDER, "package.json")))

/** The name that no other package's program has. */
const PROGRAM = "durable-streams-intent"
const FAILED = 1
const MISUSED = 2

const USAGE = `Usage:
  ${PROGRAM} [list] [--json]         list the skills
  ${PROGRAM} load <skill> [--json]   print a skill, or one of its references
  ${PROGRAM} load <skill> --path     print its path
  ${PROGRAM} --help | --version

A skill is named as the list names it:
  ${PROGRAM} load getting-started
  ${PROGRAM} load ${PACKAGE}#getting-started
  ${PROGRAM} load reading-streams/references/stream-options

Exit codes: 0 done, ${FAILED} no such skill, ${MISUSED} wrong usage.
The program intent does the same, unless @tanstack/intent is installed and has that name.
Other commands (install, hooks, validate, …) are those of npx @tanstack/intent@latest, which finds these skills too.
`

/** The commands and their options. */
const OPTIONS = new Map([
  ["list", ["--json"]],
  ["load", ["--json", "--path"]],
])

/** What went wrong, in words for the user, and the exit code. */
class Failure extends Error {
  constructor(message, exitCode) {
    super(message)
    this.exitCode = exitCode
  }
}

function read(file) {
  return readFileSync(file, "utf8")
}

/** The value of a front matter's key: a line, or a folded block. Only the forms that this package's skills use. */
function scalar(frontMatter, key) {
  const match = new RegExp(`^ *${key}: *(.*(?:\\n +\\S.*)*)`, "m").exec(frontMatter)
  if (match === null) return ""
  const value = match[1].replace(/^>-?/, "").replace(/\s+/g, " ").trim()
  return value.replace(/^(["'])(.*)\1$/, "$2")
}

/** The items of a front matter's list. */
function list(frontMatter, key) {
  const match = new RegExp(`^${key}:\\n((?: *- .*\\n?)+)`, "m").exec(frontMatter)
  if (match === null) return []
  return [...match[1].matchAll(/- *["']?(.*?)["']? *$/gm)].map(([, item]) => item)
}

function readSkill(name) {
  const path = join(SKILLS_FOLDER, name, "SKILL.md")
  const frontMatter = /^---\r?\n([\s\S]*?)\r?\n---/.exec(read(path))?.[1].replace(/\r/g, "") ?? ""
  const references = join(SKILLS_FOLDER, name, "references")
  return {
    use: `${PACKAGE}#${name}`,
    name,
    type: /^ +type: *(\S+)/m.exec(frontMatter)?.[1] ?? "",
    description: scalar(frontMatter, "description"),
    requires: list(frontMatter, "requires"),
    references: existsSync(references)
      ? readdirSync(references)
          .filter((file) => file.endsWith(".md"))
          .sort()
          .map((file) => `${name}/references/${file.slice(0, -".md".length)}`)
      : [],
    path,
  }
}

function readSkills() {
  if (!existsSync(SKILLS_FOLDER)) return []
  return readdirSync(SKILLS_FOLDER)
    .filter((name) => existsSync(join(SKILLS_FOLDER, name, "SKILL.md")))
    .sort()
    .map(readSkill)
}

/** The file of a skill or of a reference, or undefined if there is none or it lies outside of skills/. */
function findFile(use) {
  const name = use.startsWith(`${PACKAGE}#`) ? use.slice(PACKAGE.length + 1) : use
  const candidates = [join(name, "SKILL.md"), `${name}.md`, name]
  return candidates
    .map((candidate) => resolve(SKILLS_FOLDER, candidate))
    .find((file) => file.endsWith(".md") && isInside(file))
}

function isInside(file) {
  return existsSync(file) && realpathSync(file).startsWith(realpathSync(SKILLS_FOLDER) + sep)
}

function renderList(asJson) {
  const skills = readSkills()
  if (asJson) return `${JSON.stringify({ package: PACKAGE, version: VERSION, skills }, null, 2)}\n`
  const entries = skills.map(({ name, type, description, references }) => {
    const lines = [`${name} [${type}]`, `  ${description}`]
    if (references.length > 0) lines.push(`  References: ${references.join(", ")}`)
    return lines.join("\n")
  })
  return [
    `${PACKAGE} ${VERSION}: ${skills.length} skills`,
    ...entries,
    `Print one with: npx ${PROGRAM} load <skill>\n`,
  ].join("\n\n")
}

function renderSkill(use, { json, path }) {
  const file = findFile(use)
  if (file === undefined) {
    const names = readSkills().map(({ name }) => name)
    throw new Failure(`There is no skill ${quote(use)}. Skills: ${names.join(", ")}.`, FAILED)
  }
  if (path) return `${file}\n`
  const content = read(file)
  if (!json) return content
  const skill = relative(SKILLS_FOLDER, file)
    .split(sep)
    .join("/")
    .replace(/(\/SKILL)?\.md$/, "")
  return `${JSON.stringify({ package: PACKAGE, version: VERSION, skill, path: file, content }, null, 2)}\n`
}

function outputOf(args) {
  const flags = args.filter((arg) => arg.startsWith("-"))
  const [command = "list", ...uses] = args.filter((arg) => !arg.startsWith("-"))
  const has = (...names) => names.some((name) => flags.includes(name))
  if (has("--help", "-h") || command === "help") return USAGE
  if (has("--version", "-v")) return `${VERSION}\n`
  const known = OPTIONS.get(command)
  if (known === undefined) {
    throw new Failure(
      `The command ${quote(command)} is not one of this package's. npx @tanstack/intent@latest may have it.`,
      MISUSED,
    )
  }
  const unknown = flags.find((flag) => !known.includes(flag))
  if (unknown !== undefined) {
    throw new Failure(`${command} has no option ${quote(unknown)}.`, MISUSED)
  }
  if (command === "list") {
    if (uses.length > 0) throw new Failure("list takes no arguments.", MISUSED)
    return renderList(has("--json"))
  }
  if (uses.length !== 1) throw new Failure("load takes the name of one skill.", MISUSED)
  if (has("--json") && has("--path")) throw new Failure("Give --json or --path, not both.", MISUSED)
  return renderSkill(uses[0], { json: has("--json"), path: has("--path") })
}

/** A text as messages show it: no control character reaches the terminal, and none turns the direction of the line. */
function quote(text) {
  return JSON.stringify(text).replace(
    /[\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`,
  )
}

function main(args) {
  try {
    process.stdout.write(outputOf(args))
  } catch (error) {
    if (!(error instanceof Failure)) throw error
    process.stderr.write(`${PROGRAM}: ${error.message}\n`)
    if (error.exitCode === MISUSED) process.stderr.write(`\n${USAGE}`)
    process.exitCode = error.exitCode
  }
}

// `intent load … | head` closes the pipe early, which is no error.
process.stdout.on("error", (error) => {
  if (error.code !== "EPIPE") throw error
})
main(process.argv.slice(2))
