import { join } from "node:path"
import { createRequire } from "node:module"
import { pathToFileURL } from "node:url"
import { chromium, type Browser } from "playwright-core"
import * as vite from "vite"
import { afterAll, beforeAll, describe, expect, inject, it, onTestFinished } from "vitest"
import { DurableStream } from "../../src/index.ts"
import { CHROMIUM_FLAGS, findChromium } from "../browser/chromium.ts"
import { startGateway, type Gateway } from "../support/gateway.ts"
import type {} from "./frameworks/show-in-page.ts"

const executablePath = findChromium()
const modules = inject("frameworksFolder")
const pages = join(import.meta.dirname, "frameworks")
const client = inject("packageFolder")
const require = createRequire(join(modules, "../package.json"))

/** How an example is built: its page, the plugin, and what its imports mean. */
const builds: Readonly<Record<string, vite.UserConfig & { page: string }>> = {
  "React 19": {
    page: "react.ts",
    ...reactIs(join(import.meta.dirname, "../../node_modules/react")),
  },
  "React 18": { page: "react.ts", ...reactIs(join(modules, "react-18"), "-18") },
  Vue: { page: "vue.ts", plugins: [await plugin("@vitejs/plugin-vue", "default")] },
  Svelte: {
    page: "svelte.ts",
    plugins: [await plugin("@sveltejs/vite-plugin-svelte", "svelte")],
  },
}

describe.skipIf(executablePath === undefined)("the example of", () => {
  let browser: Browser
  beforeAll(async () => {
    const args = [...CHROMIUM_FLAGS]
    browser = await chromium.launch({ executablePath: executablePath!, args })
  })
  afterAll(() => browser?.close())

  describe.each(Object.entries(builds))("%s", (name, { page: entry, ...config }) => {
    let gateway: Gateway
    beforeAll(async () => {
      gateway = await startGateway(new Map([["/page.js", await bundle(entry, config)]]), {
        page: '<title>page</title><div id="app"></div><script src="/page.js"></script>',
      })
    })
    afterAll(() => gateway?.stop())

    it("shows a stream live, never that of another url, and leaves no request", async () => {
      const page = await browser.newPage()
      onTestFinished(() => page.close())
      const complaints: string[] = []
      page.on("pageerror", (error) => complaints.push(error.message))
      page.on("console", (message) => {
        if (["warning", "error"].includes(message.type())) complaints.push(message.text())
      })
      await page.goto(gateway.origin)
      const [first, second, third] = await Promise.all(
        ["first", "second", "third"].map((text) => createRoom(gateway, text)),
      )
      const show = (url: string) => page.evaluate((at) => window.example.show(at), url)
      const texts = () => page.locator("main[aria-busy=false] p").allInnerTexts()
      await show(first!.url)
      await expect.poll(texts).toEqual(["first"])
      await first!.append({ text: "live" })
      await expect.poll(texts).toEqual(["first", "live"])

      // All in one turn, and then each as soon as it can be seen.
      await page.evaluate(
        (urls) => urls.forEach((url) => window.example.show(url)),
        [second!.url, third!.url, first!.url, second!.url],
      )
      await expect.poll(texts).toEqual(["second"])
      for (const room of [third!, first!, third!]) await show(room.url)
      await expect.poll(texts).toEqual(["third"])
      await third!.append({ text: "live" })
      await expect.poll(texts).toEqual(["third", "live"])
      const isReact = name.startsWith("React")
      // The view's, and that of the effect.
      await expect.poll(() => gateway.openLiveReads.size).toBe(isReact ? 2 : 1)
      if (isReact) {
        await page.getByRole("button").click()
        await expect.poll(texts).toEqual(["third", "live", "Hi!"])
        await expect.poll(() => page.title()).toMatch(/chimes/)
      }

      await page.evaluate(() => window.example.remove())
      await expect.poll(() => gateway.openLiveReads.size).toBe(0)
      expect(complaints).toEqual([])
    })
  })
})

/** The packages of React, beside each other. */
function reactIs(react: string, suffix = ""): vite.UserConfig {
  const reactDom = join(react, `../react-dom${suffix}`)
  return {
    resolve: {
      alias: [
        { find: /^react(?=\/|$)/, replacement: react },
        { find: /^react-dom(?=\/|$)/, replacement: reactDom },
      ],
    },
  }
}

/** What a package of frameworks/package.json exports for Vite. */
async function plugin(name: string, exported: string): Promise<vite.PluginOption> {
  const module: Record<string, (options: object) => vite.PluginOption> = await import(
    pathToFileURL(require.resolve(name)).href
  )
  return module[exported]!({})
}

function createRoom(gateway: Gateway, text: string): Promise<DurableStream> {
  return DurableStream.create({
    url: gateway.streamUrl(),
    contentType: "application/json",
    body: [{ text }],
  })
}

/** A page as an application would build it, with the packed package. */
async function bundle(entry: string, { resolve, ...config }: vite.UserConfig): Promise<string> {
  const given = Array.isArray(resolve?.alias) ? resolve.alias : []
  const result = await vite.build({
    ...config,
    root: pages,
    configFile: false,
    logLevel: "warn",
    resolve: {
      alias: [
        { find: /^@durable-streams\/client\/(\w+)$/, replacement: join(client, "dist/$1.js") },
        { find: /^@durable-streams\/client$/, replacement: join(client, "dist/index.js") },
        // The examples lie outside of the folder that has their frameworks.
        { find: /^(vue|svelte)$/, replacement: join(modules, "$1") },
        { find: /^svelte\/(.*)$/, replacement: join(modules, "svelte/src/$1") },
        ...given,
      ],
    },
    build: {
      write: false,
      minify: false,
      rolldownOptions: { input: join(pages, entry), output: { format: "iife" } },
    },
  })
  const [output] = Array.isArray(result) ? result : [result]
  if (output === undefined || !("output" in output)) throw new Error("Vite watches")
  return output.output[0].code
}
