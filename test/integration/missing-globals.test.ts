import { createRequire } from "node:module"
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { createContext, Script } from "node:vm"
import { build } from "esbuild"
import ts from "typescript"
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest"
import type * as Client from "../../src/index.ts"
import { installBuiltPackage } from "../support/built-package.ts"
import { reactNativeGlobals, wholeFetch } from "../support/react-native.tsx"
import { startReferenceServer, type ReferenceServer } from "../support/reference-server.ts"
import { rejection } from "../support/rejection.ts"

type Fetch = typeof globalThis.fetch

/** What is used of jsdom, which brings no types. */
interface JsdomWindow {
  client?: typeof Client
  eval(code: string): void
  close(): void
}
type Jsdom = new (html: string, options: object) => { readonly window: JsdomWindow }

/** A platform: which globals it has, and how its fetch gives bodies. */
interface Platform {
  readonly globals: () => Record<string, unknown>
  readonly bodies: "streams" | "whole"
}

/** Without these no client is possible; the language's own globals are those of the new realm. */
const needed = { setTimeout, clearTimeout, AbortController, URL }

const documents = () => ({
  document: Object.assign(new EventTarget(), { visibilityState: "visible", hidden: false }),
  location: { href: "http://localhost/" },
  navigator: {
    userAgent: "Mozilla/5.0 (linux) AppleWebKit/537.36 (KHTML, like Gecko) jsdom/20.0.3",
  },
})

/** Polyfills of it know one encoding, and neither `fatal` nor streaming. */
class PlainTextDecoder {
  constructor(_label?: string, options?: TextDecoderOptions) {
    if (options?.fatal === true) throw new TypeError("The option fatal is not supported")
  }
  decode(bytes: Uint8Array, options?: TextDecodeOptions): string {
    if (options?.stream === true) throw new TypeError("The option stream is not supported")
    return new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes)
  }
}

const platforms: Readonly<Record<string, Platform>> = {
  "nothing but timers, URL and AbortController": { globals: () => ({}), bodies: "whole" },
  "the same, whose fetch gives streams": { globals: () => ({}), bodies: "streams" },
  "jest's jsdom, without TextEncoder, ReadableStream and Response": {
    globals: () => ({ ...documents(), console, performance, Event, EventTarget }),
    bodies: "streams",
  },
  "React Native, without ReadableStream, TextDecoder and a document": {
    globals: reactNativeGlobals,
    bodies: "whole",
  },
  "a TextDecoder that knows neither fatal nor streaming": {
    globals: () => ({ console, performance, TextEncoder, TextDecoder: PlainTextDecoder }),
    bodies: "streams",
  },
  "a console without methods": { globals: () => ({ console: {} }), bodies: "streams" },
}

let folder: string
let program: Script
let programText: string
let server: ReferenceServer

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "durable-streams-globals-"))
  await installBuiltPackage(folder)
  const { outputFiles } = await build({
    entryPoints: [join(folder, "node_modules/@durable-streams/client/dist/index.js")],
    bundle: true,
    write: false,
    format: "iife",
    globalName: "client",
    target: "es2022",
  })
  programText = outputFiles[0]?.text ?? ""
  program = new Script(programText, { filename: "client.js" })
  server = await startReferenceServer({ longPollTimeout: 500 })
}, 60_000)
afterAll(async () => {
  await server?.stop()
  await rm(folder, { recursive: true, maxRetries: 5 })
})

/** Loads the package into a realm of its own that has these globals and no others. */
function load({ globals, bodies }: Platform): { client: typeof Client; fetch: Fetch } {
  const realm: Record<string, unknown> = { ...needed, ...globals() }
  realm.window = realm.self = realm
  createContext(realm)
  program.runInContext(realm)
  // What the bundle defines.
  return { client: realm.client as typeof Client, fetch: bodies === "whole" ? wholeFetch : fetch }
}

describe.each(Object.entries(platforms))("On a platform with %s", (_name, platform) => {
  it("the package loads", () => {
    expect(load(platform).client.DurableStream).toBeTypeOf("function")
  })

  it("a stream is created, written by appends and by a producer, read, closed and deleted", async () => {
    const { client, fetch } = load(platform)
    const url = server.streamUrl()
    const handle = await client.DurableStream.create({
      url,
      fetch,
      contentType: "application/json",
      warnOnHttp: false,
    })
    await handle.append({ text: "é 😀" })
    await Promise.all([2, 3, 4].map((n) => handle.append({ n })))
    const producer = new client.IdempotentProducer(handle, "writer")
    await producer.send({ n: 5 })
    for (const n of [6, 7]) producer.append({ n })
    await producer.flush()
    const { finalOffset } = await handle.close({ body: { n: 8 } })
    expect(await handle.head()).toMatchObject({ exists: true, offset: finalOffset })
    const response = await client.stream({ url, fetch, live: false, warnOnHttp: false })
    const rest = [2, 3, 4, 5, 6, 7, 8].map((n) => ({ n }))
    expect(JSON.stringify(await response.json())).toBe(JSON.stringify([{ text: "é 😀" }, ...rest]))
    await handle.delete()
    expect(await rejection(client.stream({ url, fetch, warnOnHttp: false }))).toMatchObject({
      code: "NOT_FOUND",
    })
  })

  it("text and bytes are written in both forms, and read whole and in parts", async () => {
    const { client, fetch } = load(platform)
    const url = server.streamUrl()
    const options = { url, fetch, warnOnHttp: false }
    const handle = await client.DurableStream.create({ ...options, contentType: "text/plain" })
    await handle.append("one é ")
    await handle.append(new TextEncoder().encode("two 😀"))
    const response = await client.stream({ ...options, live: false })
    expect(await response.text()).toBe("one é two 😀")
    const bytes = await (await client.stream({ ...options, live: false })).body()
    expect(new TextDecoder().decode(bytes)).toBe("one é two 😀")
    let text = ""
    for await (const chunk of (await client.stream({ ...options, live: false })).textChunks()) {
      text += chunk.text
    }
    expect(text).toBe("one é two 😀")
  })

  it("a live subscription follows the stream to its end", async () => {
    const { client, fetch } = load(platform)
    const url = server.streamUrl()
    const options = { url, fetch, warnOnHttp: false }
    const handle = await client.DurableStream.create({
      ...options,
      contentType: "application/json",
      body: [1],
    })
    const response = await client.stream<number>({ ...options, live: "long-poll" })
    const items: number[] = []
    response.subscribeJson(async (batch) => {
      items.push(...batch.items)
      if (items.length === 1) await handle.append(2)
      if (items.length === 2) await handle.close({ body: 3 })
    })
    await response.closed
    expect(items).toEqual([1, 2, 3])
  })

  it("what needs ReadableStream or WritableStream says so", async () => {
    const { client, fetch } = load(platform)
    const url = server.streamUrl()
    const options = { url, fetch, warnOnHttp: false }
    const contentType = "text/plain"
    const handle = await client.DurableStream.create({ ...options, contentType, body: "text" })
    expect(() => handle.writable()).toThrow(/^writable\(\) needs WritableStream/)
    const response = await client.stream({ ...options, live: false })
    for (const method of ["bodyStream", "textStream"] as const) {
      expect(() => response[method]()).toThrow(`${method}() needs ReadableStream`)
    }
    expect(await response.text()).toBe("text")
  })
})

describe("In the realm of jsdom", () => {
  it("the package loads, and reads and writes with a fetch of its own", async () => {
    const { JSDOM } = createRequire(import.meta.url)("jsdom") as { JSDOM: Jsdom }
    const { window } = new JSDOM("", { runScripts: "outside-only", url: "http://localhost/" })
    onTestFinished(() => window.close())
    window.eval(`${programText}; window.client = client`)
    const client = window.client!
    const unsignalled: Fetch = (input, { signal: _, ...init } = {}) => fetch(input, init)
    const options = { url: server.streamUrl(), fetch: unsignalled }
    const contentType = "application/json"
    const handle = await client.DurableStream.create({ ...options, contentType })
    await handle.append({ n: 1 })
    const response = await client.stream({ ...options, live: false })
    expect(JSON.stringify(await response.json())).toBe('[{"n":1}]')
  })
})

/** The literals that need what Hermes lacks: property escapes, lookbehind, named groups, modifiers, the flag v. */
function unknownToHermes(program: string): string[] {
  const found: string[] = []
  const visit = (node: ts.Node): void => {
    if (ts.isRegularExpressionLiteral(node) && /\\[pPk]\{?|\(\?[^:=!]|\/[a-z]*v/.test(node.text)) {
      found.push(node.text)
    }
    node.forEachChild(visit)
  }
  visit(ts.createSourceFile("built.js", program, ts.ScriptTarget.Latest))
  return found
}

describe("The built files", () => {
  it("use no regular expression that Hermes cannot compile", async () => {
    const home = join(folder, "node_modules/@durable-streams/client/dist")
    const files = (await readdir(home)).filter((name) => /\.c?js$/.test(name))
    expect(files.length).toBeGreaterThan(0)
    for (const file of files) {
      const text = await readFile(join(home, file), "utf8")
      expect(unknownToHermes(text), file).toEqual([])
      // Such a one is seen only when it runs.
      expect(text, file).not.toMatch(/\bRegExp\(/)
    }
  })

  it("are searched by a test that finds such expressions", () => {
    for (const literal of [
      "/\\p{L}/u",
      "/[\\P{Surrogate}]/u",
      "/(?<=a)b/",
      "/(?<!a)b/",
      "/(?<name>a)/",
      "/a/v",
      "/(?i:a)/",
    ]) {
      expect(unknownToHermes(`const a = ${literal}`), literal).toEqual([literal])
    }
    expect(unknownToHermes("a / b / (?<=c); x = '/(?<=a)/'; y = /a\\/b[/]/u")).toEqual([])
  })
})
