import { spawn, type ChildProcess } from "node:child_process"
import { once } from "node:events"
import { createServer, type AddressInfo } from "node:net"
import { IS_LOADED, untilTrue, type PlainBrowser, type PlainTab } from "./plain-browser.ts"

/** What WebKit needs: its WebDriver, its MiniBrowser, and a screen. */
export interface WebKitPaths {
  readonly driver: string
  readonly browser: string
  readonly screen: string
}

type Call = (method: "POST" | "DELETE" | "GET", path: string, body?: object) => Promise<unknown>

/** Starts WebKitGTK's MiniBrowser on a screen of its own and speaks WebDriver with it. */
export async function startWebKit(paths: WebKitPaths): Promise<PlainBrowser> {
  const screen = spawn(paths.screen, ["-displayfd", "3", "-screen", "0", "1024x768x24"], {
    stdio: ["ignore", "ignore", "ignore", "pipe"],
  })
  // The pipe that was asked for in `stdio`.
  const display = await firstLine(screen.stdio[3] as NodeJS.ReadableStream)
  const port = await freePort()
  const driver = spawn(paths.driver, [`--port=${port}`, "--host=127.0.0.1"], {
    env: { ...process.env, DISPLAY: `:${display}`, WEBKIT_DISABLE_COMPOSITING_MODE: "1" },
    stdio: "ignore",
  })
  const stop = async () => {
    await Promise.all([end(driver), end(screen)])
  }
  try {
    const server = `http://127.0.0.1:${port}`
    await untilTrue(async () => (await fetch(`${server}/status`)).ok)
    const options = { binary: paths.browser, args: ["--automation"] }
    const capabilities = { alwaysMatch: { "webkitgtk:browserOptions": options } }
    // What a driver gives for a new session.
    const { sessionId } = (await call(server, "POST", "/session", { capabilities })) as {
      sessionId: string
    }
    const session: Call = (method, path, body) =>
      call(server, method, `/session/${sessionId}${path}`, body)
    await session("POST", "/timeouts", { script: 60_000, pageLoad: 60_000 })
    // The window that stays: commands need one that exists.
    const home = await session("GET", "/window")
    let last: Promise<unknown> = Promise.resolve()
    // A command is about the window that was entered last: no other one may be entered between the two.
    const within = (handle: unknown): Call => {
      return (method, path, body) => {
        const run = async () => {
          await session("POST", "/window", { handle })
          return session(method, path, body)
        }
        const result = last.then(run)
        last = result.catch(() => undefined)
        return result
      }
    }
    return {
      async open(url) {
        // A new tab stays behind the others; a new window is in front. The form is that of the driver.
        const opened = await within(home)("POST", "/window/new", { type: "window" })
        const { handle } = opened as { handle: string }
        return openTab(within(handle), url)
      },
      async stop() {
        await session("DELETE", "").catch(() => undefined)
        await stop()
      },
    }
  } catch (error) {
    await stop()
    throw error
  }
}

async function openTab(session: Call, url: string): Promise<PlainTab> {
  const evaluate = async (expression: string) => {
    const script = `const done = arguments[0]
      Promise.resolve().then(() => eval(${JSON.stringify(expression)})).then(
        (value) => done({ value }), (error) => done({ failure: String(error) }))`
    // What the script gives.
    const { value, failure } = (await session("POST", "/execute/async", { script, args: [] })) as {
      value?: unknown
      failure?: string
    }
    if (failure !== undefined) throw new Error(failure)
    return value
  }
  const goTo = async (target: string) => {
    await session("POST", "/url", { url: target })
    await untilTrue(() => evaluate(IS_LOADED))
  }
  await goTo(url)
  return {
    evaluate: async <T>(expression: string) => (await evaluate(expression)) as T,
    async hide() {
      await session("POST", "/window/minimize")
    },
    async show() {
      await session("POST", "/window/rect", { width: 800, height: 600 })
    },
    goTo,
    async goBack() {
      await session("POST", "/back", {})
    },
    async close() {
      await session("DELETE", "/window")
    },
  }
}

async function call(server: string, method: string, path: string, body?: object): Promise<unknown> {
  const response = await fetch(`${server}${path}`, {
    method,
    ...(method === "POST" && { body: JSON.stringify(body ?? {}) }),
  })
  // The form of every response of WebDriver.
  const { value } = (await response.json()) as { value: unknown }
  if (!response.ok) throw new Error(`${method} ${path}: ${JSON.stringify(value)}`)
  return value
}

async function firstLine(output: NodeJS.ReadableStream): Promise<string> {
  let text = ""
  for await (const chunk of output) {
    text += String(chunk)
    if (text.includes("\n")) break
  }
  return text.trim()
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1")
  await once(server, "listening")
  // A server that listens on TCP.
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, "close")
  return port
}

async function end(program: ChildProcess): Promise<void> {
  if (program.exitCode !== null) return
  const exited = once(program, "exit")
  program.kill()
  await exited
}
