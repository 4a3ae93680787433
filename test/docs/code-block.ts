import { readdirSync, readFileSync } from "node:fs"
import { join, relative, resolve } from "node:path"

export const REPOSITORY = resolve(import.meta.dirname, "../..")

/** A TypeScript example in a text of this repository. */
export interface CodeBlock {
  /** Where its first line of code is: `skills/forking/SKILL.md:31`. */
  readonly place: string
  /** The text's path in the repository. */
  readonly file: string
  readonly code: string
  readonly extension: "ts" | "tsx"
  /** What follows the language: `no-run`. */
  readonly info: string
  /** Shows what not to do. */
  readonly isWrong: boolean
  /** Is the code of an example, which is compiled and run by a test of its own. */
  readonly isExample: boolean
}

const FENCE = /^( *)(`{3,})(\S*) *(.*)$/

/** Every TypeScript block of a text in Markdown. */
export function codeBlocksOf(file: string, text: string, firstLine = 1): CodeBlock[] {
  const blocks: CodeBlock[] = []
  const lines = text.split("\n")
  let lastText = ""
  for (let index = 0; index < lines.length; index++) {
    const [, indent = "", ticks, language = "", info = ""] = FENCE.exec(lines[index]!) ?? []
    if (ticks === undefined) {
      if (lines[index]!.trim() !== "") lastText = lines[index]!.trim()
      continue
    }
    const start = index + 1
    do index++
    while (index < lines.length && lines[index]!.trim() !== ticks)
    if (index >= lines.length)
      throw new Error(`${file}:${firstLine + start - 1}: no end of the block`)
    if (["ts", "tsx", "typescript"].includes(language)) {
      const code = lines.slice(start, index).map((line) => line.slice(indent.length))
      blocks.push({
        place: `${file}:${firstLine + start}`,
        file,
        code: code.join("\n"),
        extension: language === "tsx" ? "tsx" : "ts",
        info: info.trim(),
        isWrong: lastText === "Wrong:",
        isExample: lastText.startsWith("<!-- example "),
      })
    }
  }
  return blocks
}

/** The blocks in the docstrings of a source file. */
export function docstringBlocksOf(file: string, source: string): CodeBlock[] {
  return [...source.matchAll(/\/\*\*([\s\S]*?)\*\//g)].flatMap(({ 1: comment, index }) => {
    const line = source.slice(0, index).split("\n").length
    return codeBlocksOf(file, comment!.replace(/^ *\* ?/gm, ""), line)
  })
}

/** The texts for users and contributors, as paths in the repository. */
export function markdownFiles(): string[] {
  const top = readdirSync(REPOSITORY).filter((name) => name.endsWith(".md"))
  return [...top, ...filesBelow("docs", ".md"), ...filesBelow("skills", ".md")]
}

/** Every block of every text and docstring. */
export function allCodeBlocks(): CodeBlock[] {
  return [
    ...markdownFiles().flatMap((file) => codeBlocksOf(file, readText(file))),
    ...filesBelow("src", ".ts").flatMap((file) => docstringBlocksOf(file, readText(file))),
  ]
}

export function readText(file: string): string {
  return readFileSync(join(REPOSITORY, file), "utf8")
}

function filesBelow(folder: string, ending: string): string[] {
  return readdirSync(join(REPOSITORY, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(ending))
    .map((entry) => relative(REPOSITORY, join(entry.parentPath, entry.name)))
    .sort()
}
