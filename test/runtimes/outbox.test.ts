import { execFile, spawn } from "node:child_process"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import { describe, expect, inject, it, onTestFinished } from "vitest"
import { runKilledImporter } from "../support/killed-importer.ts"
import { runtimesIn, versionOf } from "./runtime.ts"

const run = promisify(execFile)
const ROWS = 500
const KILLS = 10
const WITH_SQLITE = ["Node.js 24", "Node.js 26", "Bun"]
const runtimes = runtimesIn(inject("binariesFolder")).filter(({ name }) =>
  WITH_SQLITE.includes(name),
)

describe.each(runtimes)("the SQLite of $name", (runtime) => {
  it("keeps an outbox: testOutboxStore passes, what is rolled back is not sent", async (test) => {
    test.skip((await versionOf(runtime)) === undefined, `${runtime.name} could not be installed`)
    const folder = await mkdtemp(join(tmpdir(), "durable-streams-sqlite-"))
    onTestFinished(() => rm(folder, { recursive: true }))
    const cwd = inject("smokeFolder")
    const { stdout } = await run(runtime.binary, ["outbox.mjs", join(folder, "test.db")], { cwd })
    expect(stdout).toBe('[{"n":0},{"n":2}]')
  })

  it(
    `stores ${ROWS} rows once and in order, its importer killed ${KILLS} times with SIGKILL`,
    { timeout: 300_000 },
    async (test) => {
      test.skip((await versionOf(runtime)) === undefined, `${runtime.name} could not be installed`)
      const folder = await mkdtemp(join(tmpdir(), "durable-streams-sqlite-"))
      onTestFinished(() => rm(folder, { recursive: true }))
      const args = [join(folder, "rows.db"), String(ROWS)]
      const cwd = inject("smokeFolder")
      const seed = Number(process.env["SEED"] ?? Date.now() % 100_000)
      const { signals, ids } = await runKilledImporter(KILLS, seed, (url) => {
        const child = spawn(runtime.binary, ["importer.mjs", url, ...args], {
          cwd,
          stdio: ["ignore", "inherit", "inherit"],
        })
        onTestFinished(() => void child.kill("SIGKILL"))
        return child
      })
      const killed = Array.from({ length: KILLS }, () => "SIGKILL")
      expect(signals, `seed ${seed}`).toEqual([...killed, null])
      expect(ids, `seed ${seed}`).toEqual(Array.from({ length: ROWS }, (_, id) => id))
    },
  )
})

it("examples/outbox delivers every order once, in order, on Node.js 24", async (test) => {
  const node = runtimes.find(({ name }) => name === "Node.js 24")!
  test.skip((await versionOf(node)) === undefined, "Node.js 24 could not be installed")
  const { stdout } = await run(node.binary, ["--import", "tsx", "examples/outbox/main.ts"], {
    cwd: join(import.meta.dirname, "../.."),
  })
  expect(stdout).toMatch(/300 orders, 300 messages: each once, in order\n$/)
})
