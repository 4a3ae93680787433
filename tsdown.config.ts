import { buildSync } from "esbuild"
import { existsSync, readFileSync, readdirSync } from "node:fs"
import { dirname } from "node:path"
import { defineConfig, type UserConfig } from "tsdown"

/** Each folder of src/ with an index.ts is an export of its own: src/x/index.ts is `@durable-streams/client/x`. */
const capabilities = readdirSync("src").filter((name) => existsSync(`src/${name}/index.ts`))
const entry = Object.fromEntries([
  ["index", "src/index.ts"],
  ...capabilities.map((name) => [name, `src/${name}/index.ts`]),
])

/** What is in no capability: the capabilities share it with ".", which does not grow by them. */
const isShared = (id: string) =>
  /\/src\/(?!index\.ts)|\/node_modules\/(fastq|reusify)\/|rolldown\/runtime/.test(id) &&
  !capabilities.some((name) => id.includes(`/src/${name}/`))

// TypeScript before 5.2, and a lib without ESNext.Disposable, do not know this symbol. @types/node declares it the same way.
const asyncDispose =
  "declare global { interface SymbolConstructor { readonly asyncDispose: unique symbol } }"

const BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

function decodeNumbers(segment: string): number[] {
  const numbers: number[] = []
  let [value, shift] = [0, 0]
  for (const digit of segment) {
    const bits = BASE64.indexOf(digit)
    value += (bits & 31) << shift
    shift += 5
    if (bits & 32) continue
    numbers.push(value & 1 ? -(value >> 1) : value >> 1)
    ;[value, shift] = [0, 0]
  }
  return numbers
}

function encodeNumber(value: number): string {
  let text = ""
  let rest = value < 0 ? (-value << 1) | 1 : value << 1
  for (; rest > 31; rest >>>= 5) text += BASE64.charAt((rest & 31) | 32)
  return text + BASE64.charAt(rest)
}

/** Node reads ASCII in 1.2 ms in place of 2.0, and keeps it in one byte per character. */
const toAscii = (code: string) =>
  code.replace(/[^\0-\x7F]/g, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`)

/** A map of `toAscii(code)` from each line of the sources, without columns and names: a third of the whole. */
function byLine(map: { names: string[]; mappings: string }, code: string): object {
  const lines = code.split("\n")
  const [at, written] = [
    [0, 0, 0, 0],
    [0, 0, 0, 0],
  ]
  let [lastLine, column, asciiColumn] = ["", 0, 0]
  const shorten = (segment: string, generatedLine: string) => {
    decodeNumbers(segment).forEach((number, field) => {
      if (field < 4) at[field]! += number
    })
    const line = `${at[1]}:${at[2]}`
    if (line === lastLine) return []
    lastLine = line
    asciiColumn += toAscii(generatedLine.slice(column, at[0])).length
    column = at[0]!
    const moved = [asciiColumn, ...at.slice(1)]
    const short = moved.map((number, field) => encodeNumber(number - written[field]!)).join("")
    moved.forEach((number, field) => (written[field] = number))
    return [short]
  }
  const mappings = map.mappings.split(";").map((segments, index) => {
    at[0] = written[0] = column = asciiColumn = 0
    lastLine = ""
    const shortenHere = (segment: string) => shorten(segment, lines[index] ?? "")
    return segments.split(",").filter(Boolean).flatMap(shortenHere).join(",")
  })
  return { ...map, names: [], mappings: mappings.join(";") }
}

// What is built has neither docstrings (the declarations have those) nor spaces: less to read and parse takes Node less time
// to import, and each further file costs a twentieth. Marks for bundlers (@__PURE__) are lost with the spaces: no module may
// need one. The names of functions and classes stay: people read stack traces. The
// maps name the sources, which the package has; those of its dependencies lie beside it.
const shared: UserConfig = {
  entry,
  platform: "neutral",
  target: ["es2022", "node18"],
  tsconfig: "tsconfig.src.json",
  sourcemap: true,
  minify: {
    compress: { keepNames: { function: true, class: true } },
    mangle: { keepNames: true },
    codegen: { removeWhitespace: true },
  },
  hash: false,
  plugins: [
    {
      name: "ascii-and-map-lines",
      generateBundle(_, bundle) {
        const isCode = (name: string) => /\.c?js$/.test(name)
        for (const chunk of Object.values(bundle)) {
          if (chunk.type !== "chunk" || !isCode(chunk.fileName)) continue
          const map = bundle[`${chunk.fileName}.map`]
          if (map?.type === "asset")
            map.source = JSON.stringify(byLine(JSON.parse(String(map.source)), chunk.code))
          chunk.code = toAscii(chunk.code)
        }
      },
    },
  ],
  outputOptions: {
    minifyInternalExports: false,
    sourcemapExcludeSources: true,
    sourcemapPathTransform: (source) => source.replace(/^\.\.\/node_modules\//, "../../../"),
    comments: { legal: true, annotation: true, jsdoc: false },
    ...(capabilities.length > 0 && {
      codeSplitting: {
        groups: [{ name: (id) => (/\.d\.c?ts$/.test(id) ? "client.d" : "client"), test: isShared }],
      },
    }),
  },
}

const licenses = ["fastq", "reusify"]
  .map((name) => `${name}\n\n${readFileSync(`node_modules/${name}/LICENSE`, "utf8")}`)
  .join("\n")

export default defineConfig([
  {
    ...shared,
    format: "esm",
    // The declarations of the CommonJS build are those of the ES modules too.
    dts: false,
    // To load one CommonJS module takes Node as long as to import this whole package, and no browser can import it. The
    // CommonJS build requires fastq as it is.
    deps: { alwaysBundle: ["fastq"], onlyBundle: ["fastq"] },
    inputOptions: { resolve: { mainFields: ["main"] } },
    plugins: [
      shared.plugins,
      {
        name: "fastq-as-es-module",
        load(id) {
          if (!id.includes("/node_modules/fastq/")) return null
          const [map, code] = buildSync({
            entryPoints: [id],
            bundle: true,
            format: "iife",
            globalName: "made",
            write: false,
            outdir: dirname(id),
            sourcemap: "external",
            // A function is dropped by every bundler if nobody calls it.
            banner: {
              js: `let fastq; export default (...given) => { if (!fastq) {`,
            },
            footer: { js: "fastq = made } return fastq(...given) }" },
          }).outputFiles.map(({ text }) => text)
          return { code: code!, map: map! }
        },
        generateBundle() {
          this.emitFile({ type: "asset", fileName: "LICENSES.txt", source: licenses })
          for (const name of Object.keys(entry)) {
            const source = `export * from "./${name}.cjs"\n`
            this.emitFile({ type: "asset", fileName: `${name}.d.ts`, source })
          }
        },
      },
    ],
  },
  { ...shared, format: "cjs", dts: { sourcemap: true }, banner: { dts: asyncDispose } },
])
