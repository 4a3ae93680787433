import { spawn, type ChildProcess } from "node:child_process"
import { on, once } from "node:events"
import { fileURLToPath } from "node:url"

const children = new Set<ChildProcess>()

/** A program of this folder in a process of its own. */
export interface Child {
  /** The next text that it sends with `process.send`. */
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
    stdio: ["ignore", "ignore", "ignore", "ipc"],
    env: { ...process.env, NODE_ENV: "test" },
  })
  children.add(child)
  const exit = once(child, "exit").then(() => void children.delete(child))
  const messages = on(child, "message")
  return {
    nextMessage: async () => String((await messages.next()).value?.[0]),
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
