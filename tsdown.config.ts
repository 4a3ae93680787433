import { existsSync, readFileSync, readdirSync } from "node:fs"
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

// Node takes a twentieth of the import for each further file, so there is one, and two if there are capabilities. They
// are without the docstrings: those are in the declarations. The maps name the sources, which the package has; those of its
// dependencies lie beside it.
const shared: UserConfig = {
  entry,
  platform: "neutral",
  target: ["es2022", "node18"],
  tsconfig: "tsconfig.src.json",
  sourcemap: true,
  // Fewer tokens take Node a tenth less time to import. Names and line ends stay: people read stack traces.
  minify: {
    compress: { keepNames: { function: true, class: true } },
    mangle: false,
    codegen: { removeWhitespace: false },
  },
  hash: false,
  dts: { sourcemap: true },
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
  banner: { dts: asyncDispose },
}

const licenses = ["fastq", "reusify"]
  .map((name) => `${name}\n\n${readFileSync(`node_modules/${name}/LICENSE`, "utf8")}`)
  .join("\n")

export default defineConfig([
  {
    ...shared,
    format: "esm",
    // To load one CommonJS module takes Node as long as to import this whole package, and no browser can import it. The
    // CommonJS build requires fastq as it is.
    deps: { alwaysBundle: ["fastq", "reusify"], onlyBundle: ["fastq", "reusify"] },
    inputOptions: { resolve: { mainFields: ["main"] } },
    plugins: [
      {
        name: "droppable-fastq",
        // Bundlers drop a call that is marked so if its result is not used.
        renderChunk: (code: string) =>
          code.replaceAll("__toESM(require_", "__toESM(/* @__PURE__ */ require_"),
      },
    ],
    banner: { dts: asyncDispose, js: `/* Includes ${licenses}*/` },
  },
  { ...shared, format: "cjs" },
])
