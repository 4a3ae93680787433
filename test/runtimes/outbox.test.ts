import { execFile } from "node:child_process"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import { describe, expect, inject, it, onTestFinished } from "vitest"
import { runtimesIn, versionOf } from "./runtime.ts"

const run = promisify(execFile)
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
})
