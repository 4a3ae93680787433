import js from "@eslint/js"
import { createNodeResolver, importX } from "eslint-plugin-import-x"
import jsdoc from "eslint-plugin-jsdoc"
import { defineConfig, globalIgnores } from "eslint/config"
import tseslint from "typescript-eslint"
import local from "./eslint.local-rules.js"

/** What each room of src/ may import, besides itself. A room that is missing here may import nothing. */
const MAY_IMPORT = {
  protocol: ["platform"],
  platform: [],
  errors: ["platform", "protocol"],
  http: ["errors", "platform", "protocol"],
  sse: ["errors", "platform", "protocol"],
  read: ["http", "sse", "errors", "platform", "protocol"],
  write: ["http", "sse", "errors", "platform", "protocol"],
  producer: ["http", "sse", "errors", "platform", "protocol"],
  // A capability uses the entry points, and the types of what they give.
  outbox: ["durable-stream.ts", "http", "errors", "platform", "protocol"],
  subscriptions: [
    "stream.ts",
    "durable-stream.ts",
    "read",
    "http",
    "errors",
    "platform",
    "protocol",
  ],
  store: ["stream.ts", "read", "http", "errors", "platform", "protocol"],
  // The hooks are a view and a producer in a component.
  react: [
    "store",
    "durable-stream.ts",
    "durable-stream-options.ts",
    "idempotent-producer.ts",
    "producer",
    "http",
    "platform",
  ],
  testing: ["http", "errors", "platform", "protocol"],
  // Its source of pages stands in the place of a session: the extension point is ResponseSource in read/session-response.ts.
  tabs: ["read", "http", "errors", "platform", "protocol"],
}

const layerZones = [
  ...Object.entries(MAY_IMPORT).map(([room, others]) => ({
    target: `./src/${room}`,
    from: "./src",
    except: [room, ...others].map((name) => `./${name}`),
    message: `${room}/ may import only ${others.length === 0 ? "itself" : others.join(", ")}.`,
  })),
  { target: "./src", from: "./src/index.ts", message: "index.ts is for users of the package." },
  { target: "./src", from: ["./test", "./examples", "./bench"], message: "src/ stands alone." },
]

const exported = (...nodes) => nodes.map((node) => `ExportNamedDeclaration > ${node}`)
const exportedFunctions = exported("FunctionDeclaration", "ClassDeclaration")
const exportedTypesAndConstants = exported(
  "TSInterfaceDeclaration",
  "TSTypeAliasDeclaration",
  "VariableDeclaration",
)

const BROWSER_ONLY_GLOBALS = ["window", "document", "navigator", "location", "self"].map(
  (name) => ({
    name,
    message: "Not on every platform: ask platform/.",
  }),
)

export default defineConfig(
  // Programs of the installed package, which the package tests compile and run.
  globalIgnores([
    "dist/",
    "coverage/",
    "site/",
    "test/package/{consumer,dependants,frameworks,jest-project}/",
    // Checked by its own build, with the types of its framework.
    "examples/frameworks/next/",
    "**/node_modules/",
  ]),
  {
    linterOptions: { reportUnusedDisableDirectives: "error" },
    plugins: { local, "import-x": importX },
    settings: {
      "import-x/extensions": [".ts", ".js"],
      "import-x/parsers": { "@typescript-eslint/parser": [".ts"] },
      "import-x/resolver-next": [createNodeResolver({ extensions: [".ts", ".js"] })],
    },
    rules: {
      "no-warning-comments": [
        "error",
        { terms: ["todo", "fixme", "xxx", "for now", "legacy", "stub"], location: "anywhere" },
      ],
      "import-x/no-duplicates": "error",
      "import-x/no-self-import": "error",
      "import-x/no-useless-path-segments": "error",
      eqeqeq: "error",
    },
  },
  {
    files: ["{src,test,examples,bench,bin}/**"],
    rules: { "local/file-name": "error" },
  },
  {
    files: ["**/*.ts"],
    extends: [js.configs.recommended, tseslint.configs.strictTypeChecked],
    languageOptions: {
      parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname },
    },
    rules: {
      "@typescript-eslint/no-explicit-any": "error",
      "@typescript-eslint/consistent-type-assertions": [
        "error",
        { assertionStyle: "as", objectLiteralTypeAssertions: "never" },
      ],
      "@typescript-eslint/consistent-type-imports": "error",
      "@typescript-eslint/consistent-type-exports": "error",
      "@typescript-eslint/no-confusing-void-expression": ["error", { ignoreArrowShorthand: true }],
      "@typescript-eslint/no-unused-vars": ["error", { argsIgnorePattern: "^_" }],
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }],
      "@typescript-eslint/switch-exhaustiveness-check": [
        "error",
        { considerDefaultExhaustiveForUnions: true },
      ],
    },
  },
  {
    files: ["src/**/*.ts"],
    plugins: { jsdoc },
    settings: { jsdoc: { mode: "typescript", tagNamePreference: { returns: "returns" } } },
    rules: {
      "max-lines": ["error", { max: 400, skipBlankLines: true, skipComments: true }],
      "max-lines-per-function": [
        "error",
        { max: 60, skipBlankLines: false, skipComments: false, IIFEs: true },
      ],
      "no-console": ["error", { allow: ["debug", "warn", "error"] }],
      "no-restricted-imports": ["error", { patterns: ["node:*"] }],
      "no-restricted-syntax": [
        "error",
        {
          selector: ":matches(PropertyDefinition, MethodDefinition)[accessibility='private']",
          message: "Use a #private member.",
        },
        {
          selector:
            ":matches(TSInterfaceDeclaration, TSTypeAliasDeclaration, ClassDeclaration)[id.name=/^I[A-Z][a-z]|Impl$/]",
          message: "Name it after what it is: no I… and no …Impl.",
        },
        {
          selector: "ExportDefaultDeclaration",
          message: "Export by name.",
        },
      ],
      "import-x/no-restricted-paths": [
        "error",
        { basePath: import.meta.dirname, zones: layerZones },
      ],
      "local/no-cycle": "error",
      "import-x/extensions": ["error", "always", { ignorePackages: true, checkTypeImports: true }],
      "local/cast-needs-reason": "error",
      "@typescript-eslint/explicit-module-boundary-types": "error",
      // A handler may return nothing or something: `void | RetryOpts`.
      "@typescript-eslint/no-invalid-void-type": "off",
      // What an abort gives as its reason may be anything and is passed on as it is.
      "@typescript-eslint/prefer-promise-reject-errors": [
        "error",
        { allowThrowingUnknown: true, allowThrowingAny: false },
      ],
      "@typescript-eslint/only-throw-error": [
        "error",
        { allowThrowingUnknown: true, allowThrowingAny: false },
      ],
      // What index.ts exports has docstrings: test/package/docstrings.test.ts.
      "jsdoc/check-alignment": "error",
      "jsdoc/check-param-names": [
        "error",
        { checkDestructured: false, disableMissingParamChecks: true },
      ],
      "jsdoc/check-tag-names": ["error", { definedTags: ["remarks", "typeParam"] }],
      "jsdoc/empty-tags": "error",
      "jsdoc/no-types": "error",
    },
  },
  {
    // What users call: each member is a contract, and each way in shows how it is used.
    files: ["src/*.ts"],
    ignores: ["src/index.ts"],
    plugins: { jsdoc },
    rules: {
      "jsdoc/require-jsdoc": [
        "error",
        {
          publicOnly: { esm: true },
          checkConstructors: true,
          require: { ClassDeclaration: true, FunctionDeclaration: true, MethodDefinition: true },
          contexts: exportedTypesAndConstants,
        },
      ],
      "jsdoc/require-description": [
        "error",
        {
          contexts: [...exportedFunctions, ...exportedTypesAndConstants],
          descriptionStyle: "body",
        },
      ],
      "jsdoc/require-example": ["error", { contexts: exportedFunctions }],
    },
  },
  {
    files: ["src/**/*.ts"],
    ignores: ["src/platform/**"],
    rules: { "no-restricted-globals": ["error", ...BROWSER_ONLY_GLOBALS] },
  },
  {
    // platform/ asks whether a global is there at all, which the DOM's types cannot imagine.
    files: ["src/platform/**"],
    rules: {
      "@typescript-eslint/no-unnecessary-condition": "off",
      "@typescript-eslint/unbound-method": "off",
    },
  },
  {
    files: ["src/index.ts"],
    rules: {
      "no-restricted-syntax": [
        "error",
        {
          selector: "Program > :not(ExportNamedDeclaration[source])",
          message: "index.ts holds named exports and nothing else.",
        },
      ],
    },
  },
  {
    files: ["test/**/*.ts", "bench/**/*.ts", "examples/**/*.ts", "*.ts"],
    rules: {
      // A test feeds in what the types forbid and reads what they leave open.
      "@typescript-eslint/no-base-to-string": "off",
      "@typescript-eslint/no-confusing-void-expression": "off",
      "@typescript-eslint/no-dynamic-delete": "off",
      "@typescript-eslint/no-empty-function": "off",
      "@typescript-eslint/no-invalid-void-type": "off",
      "@typescript-eslint/no-misused-spread": "off",
      "@typescript-eslint/no-non-null-assertion": "off",
      "@typescript-eslint/no-unnecessary-condition": "off",
      "@typescript-eslint/no-unsafe-argument": "off",
      "@typescript-eslint/no-unsafe-assignment": "off",
      "@typescript-eslint/no-unsafe-call": "off",
      "@typescript-eslint/no-unsafe-member-access": "off",
      "@typescript-eslint/no-unsafe-return": "off",
      "@typescript-eslint/require-await": "off",
      "@typescript-eslint/unbound-method": "off",
      "@typescript-eslint/consistent-type-assertions": ["error", { assertionStyle: "as" }],
    },
  },
)
