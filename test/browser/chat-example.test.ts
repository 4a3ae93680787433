import { spawn, type ChildProcess } from "node:child_process"
import { join, resolve } from "node:path"
import type { BrowserContext, Page } from "playwright-core"
import { afterAll, beforeAll, expect, it, onTestFinished } from "vitest"
import { describeInBrowser } from "./browser-tests.ts"

const REPOSITORY = resolve(import.meta.dirname, "../..")

describeInBrowser("The chat example", (world) => {
  let server: ChildProcess
  let url: string
  beforeAll(async () => {
    const tsx = join(REPOSITORY, "node_modules/tsx/dist/cli.mjs")
    server = spawn(process.execPath, [tsx, "examples/chat/main.ts"], {
      cwd: REPOSITORY,
      env: { ...process.env, PORT: "0" },
      stdio: ["ignore", "pipe", "inherit"],
    })
    url = await printedUrl(server)
  })
  afterAll(async () => {
    if (server === undefined) return
    const exited = new Promise((resolve) => server.once("exit", resolve))
    server.kill()
    await exited
  })

  async function enter(context: BrowserContext, name: string): Promise<Page> {
    const page = await context.newPage()
    await page.addInitScript((me) => sessionStorage.setItem("name", me), name)
    await page.goto(url)
    await page.getByText("Live by SSE").waitFor()
    return page
  }
  async function newContext(): Promise<BrowserContext> {
    const context = await world.browser.newContext()
    onTestFinished(() => context.close())
    return context
  }
  async function say(page: Page, text: string): Promise<void> {
    await page.fill("#text", text)
    await page.press("#text", "Enter")
    await page.locator("li.mine:not(.unsent)", { hasText: text }).waitFor()
  }
  const lastAnswer = (page: Page) => page.locator("li.bot").last().locator(".text").innerText()
  const answered = (page: Page, ending: string) =>
    page.locator('li.bot[data-complete="true"]').last().filter({ hasText: ending }).waitFor()

  it("shows what is said in one tab in every other one, once", async () => {
    const otter = await enter(await newContext(), "Otter")
    const heron = await enter(await newContext(), "Heron")
    await say(otter, "Hello from the otter")
    await say(heron, "Hello from the heron")
    for (const page of [otter, heron]) {
      for (const text of ["Hello from the otter", "Hello from the heron"]) {
        await page.locator("li .text", { hasText: text }).waitFor()
        expect(await page.locator("li .text", { hasText: text }).count()).toBe(1)
      }
    }
  })

  it("goes on from the saved offset when it is reloaded in the middle of an answer", async () => {
    const page = await enter(await newContext(), "Newt")
    await say(page, "What does a reload do?")
    // The bot answers one after another: what others asked comes first.
    await page.locator("li.bot .text", { hasText: /^Every batch that you read comes/ }).waitFor()
    const before = await lastAnswer(page)
    await page.reload()
    expect((await lastAnswer(page)).startsWith(before.trimEnd())).toBe(true)
    await answered(page, "that you have seen.")
    const answer = await lastAnswer(page)
    expect(answer.match(/Every batch/g)).toHaveLength(1)
    expect(answer).toMatch(/^Every batch that you read comes with an offset\. This page saves it/)
    const first = page.locator("#activities li").last()
    expect(await first.innerText()).toMatch(/GET catch-up from …/)
  })

  it("keeps what is written offline and sends it once", async () => {
    const context = await newContext()
    const page = await enter(context, "Dipper")
    await context.setOffline(true)
    await page.fill("#text", "Written offline")
    await page.press("#text", "Enter")
    await page.locator("li.unsent", { hasText: "Written offline" }).waitFor()
    await context.setOffline(false)
    await page.locator("li.mine:not(.unsent)", { hasText: "Written offline" }).waitFor()
    expect(await page.locator("li .text", { hasText: "Written offline" }).count()).toBe(1)
  })

  it("puts what people write on the screen as text", async () => {
    const page = await enter(await newContext(), "Beaver")
    await say(page, "<img src=x onerror=alert(1)> log")
    expect(await page.locator("#log img").count()).toBe(0)
  })
})

async function printedUrl({ stdout }: ChildProcess): Promise<string> {
  let printed = ""
  for await (const chunk of stdout ?? []) {
    printed += String(chunk)
    const [, url] = /Chat at (\S+)/.exec(printed) ?? []
    if (url !== undefined) return url
  }
  throw new Error(`The example ended: ${printed}`)
}
