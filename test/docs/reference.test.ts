import { execFile } from "node:child_process"
import { join } from "node:path"
import { promisify } from "node:util"
import { expect, it } from "vitest"
import { REPOSITORY } from "./code-block.ts"

// Compilers are slow on a busy machine; what counts is what they say.
const TIMEOUT_MS = 300_000

it(
  "The API reference covers every name that users meet, without a warning",
  async () => {
    const program = join(REPOSITORY, "node_modules/typedoc/bin/typedoc")
    const { stdout, stderr } = await promisify(execFile)(
      process.execPath,
      [program, "--emit", "none"],
      { cwd: REPOSITORY },
    )
    expect(stdout + stderr).not.toMatch(/warning|error/i)
  },
  TIMEOUT_MS,
)
