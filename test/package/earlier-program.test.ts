import { execFile } from "node:child_process"
import { join } from "node:path"
import { promisify } from "node:util"
import { build } from "esbuild"
import { expect, inject, it } from "vitest"
import { startReferenceServer } from "../support/reference-server.ts"

it("A program that was written for 0.2.x works as it did", async () => {
  await using server = await startReferenceServer()
  const consumerFolder = inject("consumerFolder")
  await build({
    entryPoints: [join(import.meta.dirname, "consumer/earlier-program.ts")],
    outfile: join(consumerFolder, "earlier-program.mjs"),
    format: "esm",
    tsconfigRaw: {},
  })
  const code = `import { run } from "./earlier-program.mjs"
    console.log(JSON.stringify(await run(${JSON.stringify(server.url)})))`
  const { stdout, stderr } = await promisify(execFile)(
    process.execPath,
    ["--input-type=module", "-e", code],
    { cwd: consumerFolder },
  )
  expect(stderr).toBe("")
  expect(JSON.parse(stdout)).toEqual({
    stored: ["user.created", "user.updated"],
    received: ["hello"],
    resumable: true,
    second: "ALREADY_CONSUMED",
    produced: ["click", "key", "world", "bytes"],
    counts: [4, 0, 0, 0],
    restarted: [1, 0],
    late: "thrown",
    errors: [],
    closed: true,
    bytes: 13,
    text: "message data!",
    piped: "message data!",
    missing: 404,
    closedAt: "string",
    aborted: true,
    noUrl: true,
    noSignal: true,
    refused: 503,
    attempts: 3,
    consumed: "body",
  })
})
