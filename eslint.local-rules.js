import { existsSync, readFileSync, statSync } from "node:fs"
import path from "node:path"
import ts from "typescript"

/** A cast switches the compiler off: whoever writes one says why it is safe, beside it or above its statement. */
const castNeedsReason = {
  meta: {
    type: "suggestion",
    schema: [],
    messages: {
      noReason: "A cast needs its reason in a comment beside it or above its statement.",
    },
  },
  create(context) {
    const comments = context.sourceCode.getAllComments()
    const besideComment = new Set(comments.map(({ loc }) => loc.start.line))
    const belowComment = new Set(comments.map(({ loc }) => loc.end.line + 1))
    const firstLineOfStatement = (node) => {
      let outer = node
      while (!/Statement$|Declaration$|Definition$/.test(outer.type)) outer = outer.parent
      return outer.loc.start.line
    }
    return {
      TSAsExpression(node) {
        const { typeName } = node.typeAnnotation
        if (typeName?.type === "Identifier" && typeName.name === "const") return
        const lines = [
          node.loc.start.line,
          node.typeAnnotation.loc.start.line,
          firstLineOfStatement(node),
        ]
        if (!lines.some((line) => besideComment.has(line) || belowComment.has(line))) {
          context.report({ node: node.typeAnnotation, messageId: "noReason" })
        }
      },
    }
  },
}

/** Files are named in kebab-case after their main export; a drawer for anything is no name. */
const fileName = {
  meta: {
    type: "suggestion",
    schema: [],
    messages: {
      notKebab: "{{name}}: name the file in kebab-case.",
      drawer: "{{name}}: name the file after what it holds.",
    },
  },
  create(context) {
    const name = path
      .basename(context.filename)
      .replace(/\.(test|test-d|bench)?\.?(c|m)?[jt]sx?$/, "")
    return {
      Program(node) {
        const data = { name }
        if (!/^[a-z0-9]+(-[a-z0-9]+)*$/.test(name)) {
          context.report({ node, messageId: "notKebab", data })
        }
        if (/^(utils?|helpers?|misc|common)$/.test(name)) {
          context.report({ node, messageId: "drawer", data })
        }
      },
    }
  },
}

const importsByFile = new Map()

/** The files that a file imports by a relative path, for types or for values. */
function importsOf(file) {
  const { mtimeMs } = statSync(file)
  const known = importsByFile.get(file)
  if (known?.mtimeMs === mtimeMs) return known.files
  const files = ts
    .preProcessFile(readFileSync(file, "utf8"))
    .importedFiles.map(({ fileName }) => fileName)
    .filter((name) => name.startsWith("."))
    .map((name) => path.resolve(path.dirname(file), name))
    .filter((name) => existsSync(name))
  importsByFile.set(file, { mtimeMs, files })
  return files
}

/** The way from one file to another along imports, both ends included, or undefined. */
function wayAlongImports(from, to, seen = new Set()) {
  if (from === to) return [to]
  if (seen.has(from)) return undefined
  seen.add(from)
  for (const next of importsOf(from)) {
    const rest = wayAlongImports(next, to, seen)
    if (rest !== undefined) return [from, ...rest]
  }
  return undefined
}

/** No cycles, those of type imports included, which import-x/no-cycle does not see. */
const noCycle = {
  meta: { type: "problem", schema: [], messages: { cycle: "Import cycle: {{way}}" } },
  create(context) {
    const check = (node) => {
      if (!node.source?.value.startsWith(".")) return
      const imported = path.resolve(path.dirname(context.filename), node.source.value)
      if (!existsSync(imported)) return
      const way = wayAlongImports(imported, context.filename)
      if (way === undefined) return
      const names = way.map((file) => path.relative(context.cwd, file)).join(" → ")
      context.report({ node, messageId: "cycle", data: { way: names } })
    }
    return {
      ImportDeclaration: check,
      ExportNamedDeclaration: check,
      ExportAllDeclaration: check,
    }
  },
}

export default {
  rules: { "cast-needs-reason": castNeedsReason, "file-name": fileName, "no-cycle": noCycle },
}
