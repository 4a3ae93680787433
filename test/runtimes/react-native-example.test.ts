// @vitest-environment jsdom
import { execFile } from "node:child_process"
import { existsSync } from "node:fs"
import { readFile } from "node:fs/promises"
import { join } from "node:path"
import { promisify } from "node:util"
import { createContext, Script } from "node:vm"
import * as react from "react"
import * as jsxRuntime from "react/jsx-runtime"
import { createRoot } from "react-dom/client"
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest"
import type * as Example from "../../examples/frameworks/react-native.tsx"
import { DurableStream } from "../../src/index.ts"
import * as reactNative from "../support/react-native.tsx"
import { startReferenceServer, type ReferenceServer } from "../support/reference-server.ts"

const run = promisify(execFile)
const hermesc = join(inject("binariesFolder"), "hermes-compiler/hermesc/linux64-bin/hermesc")
const bundle = join(inject("smokeFolder"), "react-native.cjs")

describe("the example of React Native", () => {
  let server: ReferenceServer
  beforeAll(async () => {
    server = await startReferenceServer({ longPollTimeout: 500 })
  })
  afterAll(() => server.stop())

  it.skipIf(!existsSync(hermesc))("is compiled by Hermes", async () => {
    const bytecode = join(inject("smokeFolder"), "react-native.hbc")
    await run(hermesc, ["-O", "-emit-binary", "-out", bytecode, bundle])
    // The magic number of Hermes's bytecode.
    expect((await readFile(bytecode)).readBigUInt64LE(0)).toBe(0x1f1903c103bc1fc6n)
  })

  it("shows the stream, rests while the app is in the background, and leaves nothing", async () => {
    const { AppState } = reactNative
    const requests: { readonly signal: AbortSignal; isDone: boolean }[] = []
    const fetch: typeof globalThis.fetch = async (input, init) => {
      const request = { signal: init!.signal!, isDone: false }
      requests.push(request)
      const response = await reactNative.wholeFetch(input, init)
      request.isDone = true
      return response
    }
    const open = () => requests.filter(({ signal, isDone }) => !isDone && !signal.aborted)
    const { Room } = await load(fetch)
    const handle = await DurableStream.create({
      url: server.streamUrl(),
      contentType: "application/json",
      body: [{ text: "stored" }],
    })
    const container = document.body.appendChild(document.createElement("main"))
    const root = createRoot(container)
    root.render(react.createElement(Room, { url: handle.url }))
    const shows = (text: string) => expect.poll(() => container.textContent).toBe(text)
    await shows("livestored")
    await handle.append({ text: ", live é" })
    await shows("livestored, live é")

    AppState.change("background")
    await shows("pausedstored, live é")
    expect(open()).toEqual([])
    await handle.append({ text: ", missed" })
    AppState.change("active")
    await shows("livestored, live é, missed")

    root.unmount()
    await expect.poll(open).toEqual([])
    expect(AppState.listenerCount).toBe(0)
  })
})

/** Loads the bundle into a realm that has the globals of React Native, and no others. */
async function load(fetch: typeof globalThis.fetch): Promise<typeof Example> {
  const modules: Record<string, unknown> = {
    react,
    "react/jsx-runtime": jsxRuntime,
    "react-native": reactNative,
  }
  const module = { exports: {} }
  const realm: Record<string, unknown> = {
    ...{ setTimeout, clearTimeout, AbortController, URL, fetch, module },
    ...reactNative.reactNativeGlobals(),
    require: (name: string) => modules[name],
  }
  createContext(realm)
  new Script(await readFile(bundle, "utf8"), { filename: "react-native.cjs" }).runInContext(realm)
  // What the bundle exports.
  return module.exports as typeof Example
}
