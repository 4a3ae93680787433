import { spawn } from "node:child_process"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { CHROMIUM_FLAGS } from "./chromium.ts"

/** A tab of a {@link PlainBrowser}. */
export interface PlainTab {
  /** Evaluates an expression, waits for its promise, and gives its value as plain data. */
  evaluate<T>(expression: string): Promise<T>
  /** Brings it to the front, which hides the others. */
  show(): Promise<void>
  /** Closes it as its user does. */
  close(): Promise<void>
}

/** A browser whose tabs hide each other as a user's do: under Playwright every page believes that it is in front. */
export interface PlainBrowser {
  /** Opens a tab in front of the others and waits until its page is loaded. */
  open(url: string): Promise<PlainTab>
  stop(): Promise<void>
}

type Send = (
  method: string,
  params?: Record<string, unknown>,
  sessionId?: string,
) => Promise<Record<string, unknown>>

/** Starts a browser and speaks the DevTools protocol with it over a pipe. */
export async function startPlainBrowser(executablePath: string): Promise<PlainBrowser> {
  const profile = await mkdtemp(join(tmpdir(), "durable-streams-chromium-"))
  const flags = ["--headless", ...CHROMIUM_FLAGS, "--remote-debugging-pipe"]
  const browser = spawn(executablePath, [...flags, `--user-data-dir=${profile}`, "about:blank"], {
    stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"],
  })
  const exited = new Promise<void>((resolve) => browser.once("exit", () => resolve()))
  // The pipes asked for in `stdio`: the browser reads commands from the fourth and writes answers to the fifth.
  const [commands, answers] = [browser.stdio[3], browser.stdio[4]] as [
    NodeJS.WritableStream,
    NodeJS.ReadableStream,
  ]
  const send = speak(commands, answers)
  return {
    open: (url) => openTab(send, url),
    async stop() {
      browser.kill()
      await exited
      await rm(profile, { recursive: true, force: true, maxRetries: 5 })
    },
  }
}

function speak(commands: NodeJS.WritableStream, answers: NodeJS.ReadableStream): Send {
  let lastId = 0
  let received = ""
  const waiting = new Map<number, (answer: Answer) => void>()
  answers.on("data", (chunk: Buffer) => {
    received += chunk.toString()
    const messages = received.split("\0")
    received = messages.pop() ?? ""
    for (const message of messages) {
      const answer = JSON.parse(message) as Answer
      if (answer.id !== undefined) waiting.get(answer.id)?.(answer)
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

interface Answer {
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
  const loaded = `document.readyState === "complete" && location.href !== "about:blank"`
  while ((await evaluate(loaded)) !== true) await new Promise((resolve) => setTimeout(resolve, 20))
  return {
    evaluate: async <T>(expression: string) => (await evaluate(expression)) as T,
    async show() {
      await send("Target.activateTarget", { targetId })
    },
    async close() {
      // Unlike Target.closeTarget, this lets the page take its leave.
      await send("Page.close", {}, session)
    },
  }
}
