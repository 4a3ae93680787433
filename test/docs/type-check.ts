import { join } from "node:path"
import ts from "typescript"
import { REPOSITORY, type CodeBlock } from "./code-block.ts"

const OPTIONS: ts.CompilerOptions = {
  target: ts.ScriptTarget.ES2022,
  module: ts.ModuleKind.ESNext,
  moduleResolution: ts.ModuleResolutionKind.Bundler,
  moduleDetection: ts.ModuleDetectionKind.Force,
  lib: ["lib.es2022.d.ts", "lib.dom.d.ts", "lib.dom.iterable.d.ts", "lib.esnext.disposable.d.ts"],
  types: ["node"],
  typeRoots: [join(REPOSITORY, "node_modules/@types")],
  paths: {
    "@durable-streams/client": [join(REPOSITORY, "src/index.ts")],
    "@durable-streams/client/*": [join(REPOSITORY, "src/*/index.ts")],
  },
  jsx: ts.JsxEmit.ReactJSX,
  strict: true,
  exactOptionalPropertyTypes: true,
  noUncheckedIndexedAccess: true,
  allowImportingTsExtensions: true,
  noEmit: true,
  skipLibCheck: true,
}

/**
 * Type-checks blocks, each as a module of its own, in one program with the package's source.
 *
 * @returns what the compiler says, a line for each error: `skills/forking/SKILL.md:31: …`
 */
export function typeCheck(blocks: readonly CodeBlock[]): string[] {
  const files = new Map(
    blocks.map((block, index) => [
      join(REPOSITORY, "test/docs", `block-${index}.${block.extension}`),
      block,
    ]),
  )
  const host = ts.createCompilerHost(OPTIONS)
  const { fileExists, readFile, getSourceFile } = host
  host.fileExists = (name) => files.has(name) || fileExists.call(host, name)
  host.readFile = (name) => files.get(name)?.code ?? readFile.call(host, name)
  host.getSourceFile = (name, languageVersion, ...rest) => {
    const block = files.get(name)
    if (block === undefined) return getSourceFile.call(host, name, languageVersion, ...rest)
    return ts.createSourceFile(name, block.code, languageVersion)
  }
  const program = ts.createProgram([...files.keys()], OPTIONS, host)
  return [...files].flatMap(([name, block]) => {
    const source = program.getSourceFile(name)
    return [
      ...program.getSyntacticDiagnostics(source),
      ...program.getSemanticDiagnostics(source),
    ].map((diagnostic) => describe(diagnostic, block))
  })
}

function describe({ file, start = 0, messageText }: ts.Diagnostic, block: CodeBlock): string {
  const line = file?.getLineAndCharacterOfPosition(start).line ?? 0
  const [path, first] = block.place.split(":")
  const message = ts.flattenDiagnosticMessageText(messageText, "\n")
  return `${path}:${Number(first) + line}: ${message}\n    ${block.code.split("\n")[line]?.trim()}`
}
