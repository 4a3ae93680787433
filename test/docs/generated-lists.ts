import { existsSync, readdirSync } from "node:fs"
import { extname, join } from "node:path"
import ts from "typescript"
import { readText, REPOSITORY } from "./code-block.ts"

/**
 * Lists in the texts that are made from docstrings: between `<!-- options StreamOptions -->`, or
 * `<!-- codes DurableStreamErrorCode -->`, and `<!-- end -->`. `npm run docs:lists` writes them.
 */
const LIST = /(<!-- (options|codes) (\w+)(?: without ([\w, ]+))? -->\n)[\s\S]*?(\n<!-- end -->)/g

/**
 * The code of an example, which its own test runs: between `<!-- example examples/frameworks/react.tsx -->` and
 * `<!-- end -->`.
 */
const EXAMPLE = /(<!-- example (\S+) -->\n)[\s\S]*?(\n<!-- end -->)/g

/** The names of what the lists of a text are made of. */
export function listNamesOf(text: string): string[] {
  return [...text.matchAll(LIST)].map(([, , , name]) => name!)
}

/** The docstrings of the package's sources. */
export class Docstrings {
  readonly #checker: ts.TypeChecker
  readonly #exports = new Map<string, ts.Symbol>()

  constructor() {
    const source = join(REPOSITORY, "src")
    const folders = ["", ...readdirSync(source)]
    const entries = folders
      .map((folder) => join(source, folder, "index.ts"))
      .filter((file) => existsSync(file))
    const program = ts.createProgram(entries, {
      target: ts.ScriptTarget.ES2022,
      module: ts.ModuleKind.ESNext,
      moduleResolution: ts.ModuleResolutionKind.Bundler,
      allowImportingTsExtensions: true,
      exactOptionalPropertyTypes: true,
      strict: true,
      types: [],
      noEmit: true,
      skipLibCheck: true,
    })
    this.#checker = program.getTypeChecker()
    for (const entry of entries) {
      const module = this.#checker.getSymbolAtLocation(program.getSourceFile(entry)!)!
      for (const symbol of this.#checker.getExportsOfModule(module)) {
        const isAlias = (symbol.flags & ts.SymbolFlags.Alias) !== 0
        this.#exports.set(symbol.name, isAlias ? this.#checker.getAliasedSymbol(symbol) : symbol)
      }
    }
  }

  /** The text with every list as the docstrings are now, and every example as it is run. */
  fill(text: string): string {
    const withExamples = text.replace(EXAMPLE, (_, start: string, path: string, end: string) => {
      const code = readText(path).trim()
      return `${start}\n\`\`\`${extname(path).slice(1)}\n${code}\n\`\`\`\n${end}`
    })
    return withExamples.replace(
      LIST,
      (_, start: string, kind: string, name: string, without = "", end) => {
        const items = kind === "codes" ? this.codesOf(name) : this.optionsOf(name)
        const omitted = String(without).split(", ")
        const shown = items.filter((item) => !omitted.includes(item.name))
        return `${start}\n${shown.map(({ name: item, note, text: about }) => listItem(`\`${item}\`${note}: ${about}`)).join("\n")}\n${end}`
      },
    )
  }

  /** The options of an interface, with what it inherits. */
  optionsOf(name: string): ListItem[] {
    const type = this.#checker.getDeclaredTypeOfSymbol(this.#export(name))
    return type.getProperties().map((option) => {
      const byDefault = option.getJsDocTags(this.#checker).find((tag) => tag.name === "default")
      const isRequired = (option.flags & ts.SymbolFlags.Optional) === 0
      const value = ts.displayPartsToString(byDefault?.text)
      const shown = /^\S+$/.test(value) && !value.includes("`") ? `\`${value}\`` : value
      return {
        name: option.name,
        note: value !== "" ? ` (default: ${shown})` : isRequired ? " (required)" : "",
        text: plain(ts.displayPartsToString(option.getDocumentationComment(this.#checker))),
      }
    })
  }

  /** The members of a union of codes; those of other unions that it has are lists of their own. */
  codesOf(name: string): ListItem[] {
    const declaration = this.#export(name).declarations?.find(ts.isTypeAliasDeclaration)
    if (declaration === undefined) throw new Error(`${name} is no type of the package`)
    const { type } = declaration
    const source = declaration.getSourceFile().text
    return (ts.isUnionTypeNode(type) ? [...type.types] : [type])
      .filter(ts.isLiteralTypeNode)
      .map((member) => {
        // The compiler keeps no docstrings of members, so that they are read as comments.
        const before = source.slice(0, member.getStart()).replace(/\|\s*$/, "")
        const comment = /\/\*\*((?:(?!\*\/)[\s\S])*)\*\/\s*$/.exec(before)?.[1]
        const text = plain((comment ?? "").replace(/^\s*\*/gm, ""))
        return { name: member.getText().slice(1, -1), note: "", text }
      })
  }

  #export(name: string): ts.Symbol {
    const symbol = this.#exports.get(name)
    if (symbol === undefined) throw new Error(`The package does not export ${name}`)
    return symbol
  }
}

interface ListItem {
  readonly name: string
  readonly note: string
  readonly text: string
}

/** A docstring as one paragraph of Markdown. */
function plain(docstring: string): string {
  return docstring
    .replace(/\{@link (\w+)\}/g, "`$1`")
    .replace(/\s+/g, " ")
    .trim()
}

const LINE_CHARS = 120

function listItem(text: string): string {
  const lines = ["-"]
  for (const word of text.split(" ")) {
    const last = lines.at(-1)!
    // A line that began with a dash or a digit would be a list of its own.
    const fits = last.length + word.length < LINE_CHARS || /^[-+*\d]/.test(word)
    if (fits) lines[lines.length - 1] = `${last} ${word}`
    else lines.push(`  ${word}`)
  }
  return lines.join("\n")
}
