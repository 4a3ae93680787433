import { spawn } from "node:child_process"
import { existsSync } from "node:fs"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { IS_LOADED, untilTrue, type PlainBrowser, type PlainTab } from "./plain-browser.ts"

const PLACES = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"]

/** How a browser is started that needs no screen and asks nobody on the internet for anything. */
export const CHROMIUM_FLAGS: readonly string[] = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
]

/** The browser that is installed: where CHROMIUM_PATH says, or where Debian puts it. */
export function findChromium(): string | undefined {
  const { CHROMIUM_PATH } = process.env
  return (CHROMIUM_PATH === undefined ? PLACES : [CHROMIUM_PATH]).find((path) => existsSync(path))
}

type Send = (
  method: string,
  params?: Record<string, unknown>,
  sessionId?: string,
) => Promise<Record<string, unknown>>

/** Starts Chromium and speaks the DevTools protocol with it over a pipe. */
export async function startChromium(executablePath: string): Promise<PlainBrowser> {
  const profile = await mkdtemp(join(tmpdir(), "durable-streams-chromium-"))
  const flags = ["--headless", ...CHROMIUM_FLAGS, "--remote-debugging-pipe"]
  const browser = spawn(executablePath, [...flags, `--user-data-dir=${profile}`, "about:blank"], {
    stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"],
  })
  const exited = new Promise<void>((resolve) => browser.once("exit", () => resolve()))
  // The pipes asked for in `stdio`: the browser reads commands from the fourth and writes results to the fifth.
  const [commands, results] = [browser.stdio[3], browser.stdio[4]] as [
    NodeJS.WritableStream,
    NodeJS.ReadableStream,
  ]
  const send = speak(commands, results)
  return {
    open: (url) => openTab(send, url),
    async stop() {
      browser.kill()
      await exited
      await rm(profile, { recursive: true, force: true, maxRetries: 5 })
    },
  }
}

function speak(commands: NodeJS.WritableStream, results: NodeJS.ReadableStream): Send {
  let lastId = 0
  let received = ""
  const waiting = new Map<number, (result: CommandResult) => void>()
  results.on("data", (chunk: Buffer) => {
    received += chunk.toString()
    const messages = received.split("\0")
    received = messages.pop() ?? ""
    for (const message of messages) {
      const result = JSON.parse(message) as CommandResult
      if (result.id !== undefined) waiting.get(result.id)?.(result)
    }
  })
  return (method, params = {}, sessionId) =>
    new Promise((resolve, reject) => {
      const id = ++lastId
      waiting.set(id, ({ result, error }) => {
        waiting.delete(id)
        if (error === undefined) resolve(result ?? {})
        else reject(new Error(`${method}: ${error.message}`))
      })
      commands.write(`${JSON.stringify({ id, method, params, sessionId })}\0`)
    })
}

interface CommandResult {
  readonly id?: number
  readonly result?: Record<string, unknown>
  readonly error?: { readonly message: string }
}

async function openTab(send: Send, url: string): Promise<PlainTab> {
  const { targetId } = await send("Target.createTarget", { url })
  const { sessionId } = await send("Target.attachToTarget", { targetId, flatten: true })
  const session = String(sessionId)
  const evaluate = async (expression: string) => {
    const params = { expression, awaitPromise: true, returnByValue: true }
    const { result, exceptionDetails } = await send("Runtime.evaluate", params, session)
    if (exceptionDetails !== undefined) throw new Error(JSON.stringify(exceptionDetails))
    return (result as { readonly value?: unknown }).value
  }
  await untilTrue(() => evaluate(IS_LOADED))
  return {
    evaluate: async <T>(expression: string) => (await evaluate(expression)) as T,
    async hide() {
      await send("Target.createTarget", { url: "about:blank" })
    },
    async show() {
      await send("Target.activateTarget", { targetId })
    },
    async goTo(target) {
      await evaluate(`void (location.href = ${JSON.stringify(target)})`)
      await untilTrue(() => evaluate(`location.href === ${JSON.stringify(target)} && ${IS_LOADED}`))
    },
    async goBack() {
      await evaluate("history.back()")
    },
    async close() {
      // Unlike Target.closeTarget, this lets the page take its leave.
      await send("Page.close", {}, session)
    },
  }
}
