import { spawn, type ChildProcess } from "node:child_process"
import { on, once } from "node:events"
import { fileURLToPath } from "node:url"

const children = new Set<ChildProcess>()

/** A program of this folder in a process of its own. */
export interface Child {
  /** The next text that it sends with `process.send`. Rejects if it fails instead, with what it wrote to stderr. */
  nextMessage(): Promise<string>
  /** Ends it with SIGKILL: nothing of it runs any more, and it cannot clean up. */
  kill(): Promise<void>
  /** Resolves once it has ended by itself. */
  ended(): Promise<void>
}

/** Starts a program of this folder. */
export function startChild(name: string, ...args: string[]): Child {
  const file = fileURLToPath(new URL(name, import.meta.url))
  const child = spawn(process.execPath, ["--import", "tsx", file, ...args], {
    stdio: ["ignore", "ignore", "pipe", "ipc"],
    env: { ...process.env, NODE_ENV: "test" },
  })
  children.add(child)
  let errors = ""
  child.stderr?.on("data", (text) => void (errors += String(text)))
  const exit = once(child, "close").then(() => void children.delete(child))
  const messages = on(child, "message", { close: ["close"] })
  return {
    async nextMessage() {
      const { value, done } = await messages.next()
      // Ctrl-C ends it together with this program, which then has nothing to say about it.
      if (done && child.signalCode !== null) return new Promise<never>(() => undefined)
      if (done) throw new Error(`${name} ended before it said so: ${errors}`)
      return String(value[0])
    },
    async kill() {
      child.kill("SIGKILL")
      await exit
    },
    ended: () => exit,
  }
}

/** Leaves no process behind. */
export function killChildren(): void {
  for (const child of children) child.kill("SIGKILL")
}
