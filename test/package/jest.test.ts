import { execFile } from "node:child_process"
import { copyFile } from "node:fs/promises"
import { join } from "node:path"
import { promisify } from "node:util"
import { beforeAll, describe, expect, inject, it } from "vitest"

const run = promisify(execFile)
const consumer = inject("consumerFolder")
const jestFolder = inject("jestFolder")
const PROGRAM = "test-server.test.cjs"

describe.skipIf(jestFolder === undefined)("the test server under jest", () => {
  beforeAll(() =>
    copyFile(join(import.meta.dirname, "jest-project", PROGRAM), join(consumer, PROGRAM)),
  )

  // Jest's own jsdom environment has no fetch, Response or streams; the fixed one leaves Node's where they are.
  it.each(["jest-environment-node", "jest-fixed-jsdom", "@happy-dom/jest-environment"])(
    "serves the installed package in %s, and nothing keeps jest open",
    async (environment) => {
      const options = ["--rootDir", consumer, "--env", join(jestFolder!, environment), "--ci"]
      const { stderr } = await run(
        process.execPath,
        [join(jestFolder!, "jest/bin/jest.js"), ...options, "--detectOpenHandles"],
        { cwd: consumer, env: { ...process.env, NO_COLOR: "1" } },
      )
      expect(stderr).toContain("Tests:       5 passed, 5 total")
      expect(stderr).not.toContain("open handle")
    },
  )
})
