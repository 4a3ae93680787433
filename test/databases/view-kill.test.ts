import { spawn } from "node:child_process"
import { once } from "node:events"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { expect, inject, it } from "vitest"
import { DurableStream } from "../../src/index.ts"
import type { StoredView } from "../../src/store/index.ts"
import { sqlitePersistence } from "../../src/store/index.ts"
import { startReferenceServer } from "../support/reference-server.ts"
import { SeededRandom } from "../support/seeded-random.ts"
import { hasSqlite, openDatabase, testFolder } from "./sqlite.ts"

const COUNT = 300
const KILLS = 4

/** Runs the program to its end, or kills it at a line of its output. Resolves with how far it began and came. */
async function live(args: readonly string[], linesToLive: number): Promise<number[]> {
  const program = join(import.meta.dirname, "view-process.ts")
  const child = spawn(process.execPath, ["--import", "tsx", program, ...args], {
    stdio: ["ignore", "pipe", "inherit"],
  })
  const exit = once(child, "exit")
  const lengths: number[] = []
  for await (const line of createInterface(child.stdout)) {
    lengths.push(Number(line.split(" ")[1]))
    if (lengths.length === linesToLive) child.kill("SIGKILL")
  }
  await exit
  return lengths
}

it.skipIf(!hasSqlite)(
  `a view in SQLite is whole after its process was killed ${KILLS} times`,
  { timeout: 180_000 },
  async () => {
    await using server = await startReferenceServer({ longPollTimeout: 500 })
    const seed = Date.now() % 1_000_000
    const random = new SeededRandom(seed)
    const handle = await DurableStream.create({
      url: server.streamUrl(),
      contentType: "application/json",
    })
    const file = join(await testFolder(), "views.db")
    const args = [handle.url, file, inject("betterSqlite3")]
    const persistence = sqlitePersistence(openDatabase(file), "numbers")
    const whole = Array.from({ length: COUNT }, (_, n) => n)
    let written = 0
    const write = async () => {
      for (; written < COUNT; written++) {
        await handle.append(written)
        await new Promise((resolve) => void setTimeout(resolve, 5))
      }
      await handle.close()
    }
    const writing = write()
    let reached = 0
    for (let life = 0; life <= KILLS; life++) {
      const lines = life < KILLS ? random.int(4, 60) : Number.POSITIVE_INFINITY
      const lengths = await live(args, lines)
      const stored = (await persistence.load()) as StoredView | undefined
      const numbers = JSON.parse(stored?.value ?? "[]") as number[]
      expect(numbers, `seed ${seed}, life ${life}`).toEqual(whole.slice(0, numbers.length))
      expect(numbers.length, `seed ${seed}, life ${life}`).toBeGreaterThanOrEqual(reached)
      expect(Math.max(...lengths), `seed ${seed}, life ${life}`).toBeGreaterThanOrEqual(reached)
      reached = numbers.length
    }
    await writing
    expect(reached, `seed ${seed}`).toBe(COUNT)
  },
)
