import { execFile } from "node:child_process"
import { join } from "node:path"
import { promisify } from "node:util"
import { expect, it } from "vitest"

const PROGRAM = ["--import", "tsx", "examples/webhook-receiver/main.ts"]

it("the example of a webhook receiver handles every order once, in order, and ends", async () => {
  const cwd = join(import.meta.dirname, "../..")
  const { stdout, stderr } = await promisify(execFile)(process.execPath, PROGRAM, { cwd })
  const handled = stdout.split("\n").flatMap((line) => /^orders\/today (.+)$/.exec(line)?.[1] ?? [])
  expect(handled.join(", ")).toBe("tea, bread, honey")
  expect(stderr).toBe("")
})
