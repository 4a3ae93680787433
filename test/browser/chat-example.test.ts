import { spawn, type ChildProcess } from "node:child_process"
import { once } from "node:events"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import type { BrowserContext, Page } from "playwright-core"
import { afterAll, beforeAll, expect, it, onTestFinished } from "vitest"
import { DurableStream, stream } from "../../src/index.ts"
import type { ChatEvent } from "../../examples/chat/chat-event.ts"
import { freePort, untilPrinted } from "../support/child-server.ts"
import { describeInBrowser } from "./browser-tests.ts"
import { lowContrasts } from "./contrast.ts"

const REPOSITORY = resolve(import.meta.dirname, "../..")
const START_TIMEOUT_MS = 120_000

/** The example, in a process of its own. */
interface Chat {
  readonly url: string
  readonly roomUrl: string
  readonly process: ChildProcess
  kill(): Promise<void>
  /** Starts it again, on its ports and with its data. */
  restart(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

describeInBrowser("The chat example", (world) => {
  let chat: Chat
  beforeAll(async () => {
    chat = await startChat()
  }, START_TIMEOUT_MS)
  afterAll(() => chat?.[Symbol.asyncDispose]())

  async function enter(context: BrowserContext, name?: string, room = chat): Promise<Page> {
    const page = await context.newPage()
    if (name !== undefined) {
      await page.addInitScript((me) => sessionStorage.setItem("name", me), name)
    }
    await page.goto(room.url)
    await state(page, "Live by SSE")
    return page
  }
  const state = (page: Page, label: string) =>
    page.locator("#connection", { hasText: label }).waitFor()
  /** Writes and does not wait for the stream. */
  async function write(page: Page, text: string): Promise<void> {
    await page.fill("#text", text)
    await page.press("#text", "Enter")
  }
  const stored = (page: Page, text: string) =>
    page.locator("#log li:not(.unsent)", { hasText: text }).waitFor()
  async function countInRoom(text: string, { roomUrl } = chat): Promise<number> {
    const events = await (await stream<ChatEvent>({ url: roomUrl, live: false })).json()
    return events.filter((event) => event.kind === "message" && event.text === text).length
  }
  async function newContext(): Promise<BrowserContext> {
    const context = await world.browser.newContext()
    onTestFinished(() => context.close())
    return context
  }
  async function say(page: Page, text: string): Promise<void> {
    await write(page, text)
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
    const first = page.locator("#activities li", { hasText: "GET" }).last()
    expect(await first.innerText()).toMatch(/GET catch-up from …/)
  })

  it("shows a saved conversation with the first paint, and moves nothing of it", async () => {
    const page = await enter(await newContext(), "Vole")
    await say(page, "Seen before the reload")
    await page.addInitScript(() => {
      new MutationObserver((_changes, observer) => {
        if (document.querySelector("#log li") === null) return
        performance.mark("conversation")
        observer.disconnect()
      }).observe(document, { childList: true, subtree: true })
    })
    // As over a network: without care the page is painted before its program is there.
    await page.route("**/*.js", async (route) => {
      await page.waitForTimeout(500)
      await route.continue()
    })
    await page.reload()
    await state(page, "Live by SSE")
    await page.unrouteAll({ behavior: "ignoreErrors" })
    const { conversationMs, paintMs, styles, moving } = await page.evaluate(() => ({
      conversationMs: performance.getEntriesByName("conversation")[0]?.startTime,
      paintMs: performance.getEntriesByName("first-paint")[0]?.startTime,
      styles: document.querySelectorAll("head link[rel=stylesheet]").length,
      moving: document.querySelectorAll("#log li.new").length,
    }))
    expect(conversationMs).toBeLessThan(paintMs ?? 0)
    expect({ styles, moving }).toEqual({ styles: 1, moving: 0 })
  })

  it(
    "keeps the conversation when its server is killed and started again",
    async () => {
      const page = await enter(await newContext(), "Grebe")
      await say(page, "Said before the restart")
      await chat.kill()
      await state(page, "Reconnecting")
      await write(page, "Said while the server was down")
      await chat.restart()
      await state(page, "Live by SSE")
      await stored(page, "Said while the server was down")
      const later = await enter(await newContext(), "Egret")
      for (const text of ["Said before the restart", "Said while the server was down"]) {
        await stored(later, text)
        expect(await countInRoom(text)).toBe(1)
      }
    },
    START_TIMEOUT_MS,
  )

  it(
    "sends what was written offline once, says that it is offline, and fails with nothing",
    async () => {
      // In a room where nothing else is said: Chromium lets open connections live on, and what arrives there is live.
      await using own = await startChat()
      const context = await newContext()
      const page = await enter(context, "Dipper", own)
      await answered(page, "while I answer.")
      const errors: string[] = []
      page.on("console", (message) => {
        if (message.type() === "error") errors.push(message.text())
      })
      await context.setOffline(true)
      await state(page, "Offline")
      await write(page, "Written offline")
      await page.locator("li.unsent", { hasText: "Written offline" }).waitFor()
      // Longer than the first retries take.
      await page.waitForTimeout(3_000)
      await state(page, "Offline")
      expect(errors).toEqual([])
      await context.setOffline(false)
      await page.locator("li.mine:not(.unsent)", { hasText: "Written offline" }).waitFor()
      await state(page, "Live by SSE")
      expect(await countInRoom("Written offline", own)).toBe(1)
      expect(await page.locator("li .text", { hasText: "Written offline" }).count()).toBe(1)
      await page.locator("#activities li", { hasText: "stored (1)" }).first().waitFor()
    },
    START_TIMEOUT_MS,
  )

  it("sends what a tab wrote before it was closed", async () => {
    const context = await newContext()
    const page = await enter(context, "Teal")
    await context.setOffline(true)
    await write(page, "Written before the tab was closed")
    await page.locator("#activities li", { hasText: "queued" }).waitFor()
    await page.close()
    await context.setOffline(false)
    await stored(await enter(context, "Coot"), "Written before the tab was closed")
    expect(await countInRoom("Written before the tab was closed")).toBe(1)
  })

  it("sends what was written before its outbox had opened", async () => {
    const context = await newContext()
    await context.addInitScript(() => {
      const opened = new Promise<void>((resolve) => {
        addEventListener("test-opens", () => {
          resolve()
        })
      })
      const add = IDBOpenDBRequest.prototype.addEventListener
      IDBOpenDBRequest.prototype.addEventListener = function (
        this: IDBOpenDBRequest,
        type: string,
        listener: EventListener,
        options?: boolean | AddEventListenerOptions,
      ) {
        const late: EventListener = (event) => void opened.then(() => listener.call(this, event))
        add.call(this, type, type === "success" ? late : listener, options)
      }
    })
    const page = await enter(context, "Vole")
    await write(page, "Too early?")
    await page.locator("li.mine.unsent", { hasText: "Too early?" }).waitFor()
    await page.evaluate(() => dispatchEvent(new Event("test-opens")))
    await stored(page, "Too early?")
    expect(await countInRoom("Too early?")).toBe(1)
  })

  it("says that it is paused while the tab is hidden", async () => {
    const page = await enter(await newContext(), "Perch")
    const setVisibility = (visibility: string) =>
      page.evaluate((value) => {
        Object.defineProperty(document, "visibilityState", { value, configurable: true })
        Object.defineProperty(document, "hidden", { value: value === "hidden", configurable: true })
        document.dispatchEvent(new Event("visibilitychange"))
      }, visibility)
    await setVisibility("hidden")
    await state(page, "Paused while hidden")
    await setVisibility("visible")
    await state(page, "Live by SSE")
  })

  it("says in the seventh tab that there are too many connections, until another one is closed", async () => {
    const context = await newContext()
    const tabs: Page[] = []
    for (let count = 0; count < 6; count++) tabs.push(await enter(context))
    const seventh = await context.newPage()
    await seventh.goto(chat.url)
    await state(seventh, "Too many connections?")
    await tabs[0]?.close()
    await state(seventh, "Live by SSE")
  }, 120_000)

  it("takes a tab that is opened from another one for another user, and a reload for the same", async () => {
    const page = await enter(await newContext())
    const name = (of: Page) => of.locator("#me").innerText()
    const before = await name(page)
    const [copy] = await Promise.all([
      page.waitForEvent("popup"),
      page.evaluate(() => void window.open(location.href)),
    ])
    await state(copy, "Live by SSE")
    expect(await name(copy)).not.toBe(before)
    await page.reload()
    expect(await name(page)).toBe(before)
  })

  it("announces an answer when it is complete, and no single word", async () => {
    const page = await enter(await newContext(), "Bittern")
    await page.evaluate(() => {
      const said: string[] = []
      Object.assign(window, { said })
      for (const region of document.querySelectorAll("[aria-live]")) {
        new MutationObserver(() => said.push(region.textContent)).observe(region, {
          childList: true,
          characterData: true,
          subtree: true,
        })
      }
    })
    await say(page, "How do tokens get here?")
    await answered(page, "the state on top.")
    const answer = await lastAnswer(page)
    const said = await page.evaluate(() => (window as unknown as { said: string[] }).said)
    expect(said).toContain(`Brook: ${answer}`)
    expect(said.filter((text) => !/[.?!]$/.test(text))).toEqual([])
    expect(await page.locator("[aria-live] #log, #log[aria-live], #log[role=log]").count()).toBe(0)
  })

  it("fits a screen of 320 pixels", async () => {
    const page = await enter(await newContext(), "Kingfisher of the long river")
    await page.setViewportSize({ width: 320, height: 560 })
    await say(page, "unbreakable".repeat(20))
    const tooWide = await page.evaluate(() =>
      [...document.querySelectorAll("body *")]
        .filter((element) => {
          const { left, right } = element.getBoundingClientRect()
          return (
            right > 320 || left < 0 || element.scrollWidth > Math.max(1, Math.ceil(right - left))
          )
        })
        .filter((element) => element.clientWidth > 1)
        .map((element) => `${element.tagName} ${element.id} ${element.className}`),
    )
    expect(tooWide).toEqual([])
  })

  it("keeps the last message in view when the window changes and when more is said", async () => {
    const page = await enter(await newContext(), "Plover")
    await say(page, "The first of many words. ".repeat(40))
    const isLastInView = () =>
      page.waitForFunction(() => {
        const log = document.querySelector("#log")
        const last = log?.lastElementChild?.getBoundingClientRect()
        return log && last && last.bottom <= log.getBoundingClientRect().bottom + 1
      })
    await isLastInView()
    await page.setViewportSize({ width: 320, height: 400 })
    await isLastInView()
    await say(page, "Another word")
    await isLastInView()
  })

  it.for(["light", "dark"] as const)("has enough contrast for every text: %s", async (scheme) => {
    // A room of its own: what the bot says depends on what was said.
    await using own = await startChat()
    const context = await newContext()
    const page = await enter(context, "Otter 1", own)
    await page.emulateMedia({ colorScheme: scheme, reducedMotion: "reduce" })
    await say(page, "Sent")
    expect(await lowContrasts(page)).toEqual([])
    await answered(page, "Ask me about one of them.")
    await expect.poll(() => page.locator("li.unsent").count()).toBe(0)
    await context.setOffline(true)
    await state(page, "Offline")
    await write(page, "Not sent")
    await page.locator("li.unsent").waitFor()
    expect(await lowContrasts(page)).toEqual([])
  })

  it("puts what people write on the screen as text", async () => {
    const page = await enter(await newContext(), "Beaver")
    await say(page, "<img src=x onerror=alert(1)> log")
    expect(await page.locator("#log img").count()).toBe(0)
  })

  it(
    "goes on, with nothing to write in, when somebody closes the room",
    async () => {
      await using own = await startChat()
      const page = await (await newContext()).newPage()
      await page.goto(own.url)
      await state(page, "Live by SSE")
      // The bot is in the middle of its greeting.
      await page.locator("li.bot .text", { hasText: "Hello" }).waitFor()
      await closeRoom(own)
      await state(page, "The room is closed")
      expect(await page.locator("#text").isDisabled()).toBe(true)
      expect(await page.getByRole("button", { name: "Send" }).isDisabled()).toBe(true)
      await page.reload()
      await state(page, "The room is closed")
      await page.locator("li.bot .text", { hasText: "Hello" }).waitFor()
      expect(own.process.exitCode).toBe(null)
      await own.kill()
      await own.restart()
      await page.reload()
      await state(page, "The room is closed")
    },
    5 * START_TIMEOUT_MS,
  )
})

/** The reference server 0.3.7 forgets a closure that arrives while it stores an append in a file: the bot would write on. */
async function closeRoom({ roomUrl, process }: Chat): Promise<void> {
  let isClosed = false
  const closed = untilPrinted(process, "The room is closed").then(() => (isClosed = true))
  const room = new DurableStream({ url: roomUrl, contentType: "application/json" })
  while (!isClosed) {
    await room.close()
    await Promise.race([closed, sleep(500)])
  }
}

async function startChat(): Promise<Chat> {
  const dataDir = await mkdtemp(join(tmpdir(), "durable-streams-chat-"))
  const [port, streamsPort] = [await freePort(), await freePort()]
  const env = { PORT: port, STREAMS_PORT: streamsPort, DATA_DIR: dataDir }
  let server: ChildProcess
  const start = async () => {
    server = spawn(process.execPath, ["--import", "tsx", "examples/chat/main.ts"], {
      cwd: REPOSITORY,
      env: { ...process.env, ...env },
      stdio: ["ignore", "pipe", "inherit"],
    })
    await untilPrinted(server, "Chat at")
  }
  const kill = async () => {
    const exited = once(server, "exit")
    if (server.kill("SIGKILL")) await exited
  }
  await start()
  return {
    url: `http://127.0.0.1:${port}/`,
    roomUrl: `http://127.0.0.1:${streamsPort}/chat/riverside`,
    get process() {
      return server
    },
    kill,
    restart: start,
    async [Symbol.asyncDispose]() {
      await kill()
      await rm(dataDir, { recursive: true, force: true })
    },
  }
}
