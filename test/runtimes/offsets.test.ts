import { execFile } from "node:child_process"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import { describe, expect, inject, it, onTestFinished } from "vitest"
import { runtimesIn, versionOf } from "./runtime.ts"

const run = promisify(execFile)
const WITH_SQLITE = ["Node.js 22", "Node.js 24", "Node.js 26", "Bun"]
const runtimes = runtimesIn(inject("binariesFolder")).filter(({ name }) =>
  WITH_SQLITE.includes(name),
)

describe.each(runtimes)("sqliteOffsets with the SQLite of $name", (runtime) => {
  it("counts each batch once, of two connections, and nothing of one that fails", async (test) => {
    test.skip((await versionOf(runtime)) === undefined, `${runtime.name} could not be installed`)
    const folder = await mkdtemp(join(tmpdir(), "durable-streams-offsets-"))
    onTestFinished(() => rm(folder, { recursive: true }))
    const cwd = inject("smokeFolder")
    const { stdout } = await run(runtime.binary, ["offsets.mjs", join(folder, "test.db")], { cwd })
    expect(JSON.parse(stdout)).toEqual([
      ...["3", "3", "3"],
      "Error: failed",
      "DurableStreamError: The option",
      ...["3", "none", "1,2,3"],
    ])
  })
})
