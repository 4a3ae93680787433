import { execFile, spawn } from "node:child_process"
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "vitest"

const REPOSITORY = join(import.meta.dirname, "../..")
const PROGRAM = ["--import", "tsx", "examples/demo/main.ts"]
// Ten seconds, on a machine that does nothing else.
const TIMEOUT_MS = 180_000

/** The processes that a process has started, by their parents' numbers in /proc. */
function childrenOf(pid: number): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((name) => {
      try {
        return readFileSync(`/proc/${name}/stat`, "utf8").split(") ")[1]?.split(" ")[1] === `${pid}`
      } catch {
        return false
      }
    })
    .map(Number)
}

describe("the demo", () => {
  it(
    "prints one line for each event where it is piped, within 80 columns, and loses nothing",
    async () => {
      const output = await new Promise<{ code: unknown; stdout: string; stderr: string }>(
        (resolve) => {
          execFile(process.execPath, PROGRAM, { cwd: REPOSITORY }, (error, stdout, stderr) =>
            resolve({ code: error?.code ?? 0, stdout, stderr }),
          )
        },
      )
      expect(output).toMatchObject({ code: 0, stderr: "" })
      const lines = output.stdout.split("\n")
      expect(lines.filter((line) => line.length > 80 || line.includes("\u001b"))).toEqual([])
      expect(lines).toEqual(
        expect.arrayContaining([
          "bob resumes from the offset that it saved",
          "the stream is closed; both have everything",
          "sent 3 times, stored once",
          "another process opened the file: 40 orders, once and in order",
          "Everything is there, once and in order.",
        ]),
      )
      expect(lines.length).toBeLessThan(35)
    },
    TIMEOUT_MS,
  )

  it
    .skipIf(process.platform !== "linux")
    .each(["1  Readers", "2  The server", "3  A producer", "4  A process"])(
    "ends at Ctrl-C with its server: %s",
    async (act) => {
      const demo = spawn(process.execPath, PROGRAM, { cwd: REPOSITORY })
      const ended = new Promise((resolve) => demo.once("exit", (code) => resolve(code)))
      let stdout = ""
      demo.stdout.on("data", (text) => (stdout += String(text)))
      await expect.poll(() => stdout, { timeout: TIMEOUT_MS }).toContain(act)
      const started = childrenOf(demo.pid!)
      expect(started.length).toBeGreaterThan(0)
      demo.kill("SIGINT")
      expect(await ended).toBe(130)
      const isAlive = (pid: number) => {
        try {
          return process.kill(pid, 0)
        } catch {
          return false
        }
      }
      await expect.poll(() => started.filter(isAlive)).toEqual([])
    },
    TIMEOUT_MS,
  )
})
