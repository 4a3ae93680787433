import { readFileSync } from "node:fs"
import { defineConfig, type UserConfig } from "tsdown"

// TypeScript before 5.2, and a lib without ESNext.Disposable, do not know this symbol. @types/node declares it the same way.
const asyncDispose =
  "declare global { interface SymbolConstructor { readonly asyncDispose: unique symbol } }"

// Node takes a quarter of this package's import for each further file, so a build is one file, without the docstrings:
// those are in the declarations. The maps name the sources, which the package has; those of its dependencies lie beside it.
const shared: UserConfig = {
  entry: "src/index.ts",
  platform: "neutral",
  target: ["es2022", "node18"],
  tsconfig: "tsconfig.src.json",
  sourcemap: true,
  minify: false,
  hash: false,
  dts: { sourcemap: true },
  outputOptions: {
    minifyInternalExports: false,
    sourcemapExcludeSources: true,
    sourcemapPathTransform: (source) => source.replace(/^\.\.\/node_modules\//, "../../../"),
    comments: { legal: true, annotation: true, jsdoc: false },
  },
  banner: { dts: asyncDispose },
}

const licenses = ["fastq", "reusify"]
  .map((name) => `${name}\n\n${readFileSync(`node_modules/${name}/LICENSE`, "utf8")}`)
  .join("\n")

/** fastq as an ES module: the same code, its `require` and `module.exports` as `import` and `export`. */
const fastqAsModule = {
  name: "fastq-as-module",
  transform: {
    filter: { id: /\/(fastq\/queue|reusify\/reusify)\.js$/ },
    handler(code: string) {
      const converted = code
        .replace("'use strict'", "")
        .replace("var reusify = require('reusify')", 'import reusify from "reusify"')
        .replace(
          /module\.exports = (\w+)(\s+module\.exports\.promise = (\w+))?\s*$/,
          (_text, name: string, _promise, promise?: string) =>
            promise === undefined
              ? `export default ${name}`
              : `export { ${name} as default, ${promise} as promise }`,
        )
      if (/require\(|module\.exports/.test(converted))
        throw new Error("fastq has changed: convert it anew")
      return converted
    },
  },
}

export default defineConfig([
  {
    ...shared,
    format: "esm",
    // Loading one CommonJS module takes Node as long as importing this whole package, no bundler can drop its unused
    // parts, and no browser can import it. The CommonJS build requires it as it is.
    deps: { alwaysBundle: ["fastq", "reusify"], onlyBundle: ["fastq", "reusify"] },
    inputOptions: { resolve: { mainFields: ["main"] } },
    plugins: [fastqAsModule],
    banner: { dts: asyncDispose, js: `/* Includes ${licenses}*/` },
  },
  { ...shared, format: "cjs" },
])
