import { join, resolve } from "node:path"
import ts from "typescript"
import { describe, expect, inject, it } from "vitest"

const sources = resolve(import.meta.dirname, "../../src/index.ts")
const declarations = join(inject("packageFolder"), "dist/index.d.ts")
const program = ts.createProgram([sources, declarations], {
  target: ts.ScriptTarget.ES2022,
  module: ts.ModuleKind.ESNext,
  moduleResolution: ts.ModuleResolutionKind.Bundler,
  allowImportingTsExtensions: true,
  lib: ["lib.es2022.d.ts", "lib.dom.d.ts", "lib.dom.iterable.d.ts", "lib.esnext.disposable.d.ts"],
  types: [],
  noEmit: true,
  skipLibCheck: true,
})
const checker = program.getTypeChecker()

/** Numbers that mean nothing unless they are given. */
const WITHOUT_DEFAULT = ["ttlSeconds", "subOffset", "producerEpoch", "producerSeq", "status"]

interface Documented {
  type: string
  text: string
  tags: readonly ts.JSDocTagInfo[]
  isOptional: boolean
}

/** What is said about each export and each of its members, by name. */
function documentation(file: string): Map<string, Documented> {
  const found = new Map<string, Documented>()
  const add = (name: string, symbol: ts.Symbol) => {
    const text = ts.displayPartsToString(symbol.getDocumentationComment(checker))
    const isOptional = (symbol.flags & ts.SymbolFlags.Optional) !== 0
    const type = checker.typeToString(checker.getTypeOfSymbol(symbol))
    found.set(name, { text, type, tags: symbol.getJsDocTags(checker), isOptional })
  }
  const module = checker.getSymbolAtLocation(program.getSourceFile(file)!)!
  for (const exported of checker.getExportsOfModule(module)) {
    const isAlias = (exported.flags & ts.SymbolFlags.Alias) !== 0
    const symbol = isAlias ? checker.getAliasedSymbol(exported) : exported
    add(exported.name, symbol)
    const isClassOrInterface = symbol.flags & (ts.SymbolFlags.Class | ts.SymbolFlags.Interface)
    if (!isClassOrInterface) continue
    for (const member of checker.getDeclaredTypeOfSymbol(symbol).getProperties()) {
      // Private members, and those that are inherited from a library.
      const isOurs = member.declarations?.some((node) =>
        /durable|src/.test(node.getSourceFile().fileName),
      )
      if (isOurs && !member.name.includes("#"))
        add(`${exported.name}.${member.name.replace(/@\d+$/, "")}`, member)
    }
  }
  return found
}

const written = documentation(sources)
const shipped = documentation(declarations)

describe("the declarations of the package", () => {
  it("have every docstring of the sources", () => {
    expect(written.size).toBeGreaterThan(200)
    const lost = [...written].filter(([name, { text }]) => shipped.get(name)?.text !== text)
    expect(lost.map(([name]) => name)).toEqual([])
  })

  it("have a docstring for every export", () => {
    const silent = [...shipped].filter(([name, { text }]) => text === "" && !name.includes("."))
    expect(silent.map(([name]) => name)).toEqual([])
  })

  it("name the default of every option that is a number or a choice", () => {
    const options = [...shipped].filter(
      ([name, { isOptional, type }]) =>
        isOptional && /^\w+Options\./.test(name) && /\b(number|boolean|true|false)\b/.test(type),
    )
    expect(options.length).toBeGreaterThan(20)
    const silent = options.filter(([, { tags }]) => !tags.some(({ name }) => name === "default"))
    const names = new Set(silent.map(([name]) => name.replace(/.*\./, "")))
    expect([...names].filter((name) => !WITHOUT_DEFAULT.includes(name))).toEqual([])
  })
})
