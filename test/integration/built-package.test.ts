import { execFile } from "node:child_process"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { DurableStream } from "../../src/index.ts"
import { installBuiltPackage } from "../support/built-package.ts"
import { startReferenceServer, type ReferenceServer } from "../support/reference-server.ts"

const run = promisify(execFile)

/** Tails a stream, adds a message once it is there, and closes the stream when that message has come back. */
const TAIL = `
async function tail(url) {
  const chat = await DurableStream.connect({ url })
  const producer = new IdempotentProducer(chat, "tail")
  for await (const { items } of (await stream({ url })).jsonBatches()) {
    for (const { text } of items) {
      console.log(text)
      if (text === "stored") producer.append({ text: "live" })
      if (text === "live") await producer.close()
    }
  }
}
tail(process.argv[2])
`
const NAMES = "{ DurableStream, IdempotentProducer, stream }"
const PROGRAMS = {
  "tail.mjs": `import ${NAMES} from "@durable-streams/client"${TAIL}`,
  "tail.cjs": `const ${NAMES} = require("@durable-streams/client")${TAIL}`,
  "worker.mjs": `import { Worker } from "node:worker_threads"
    new Worker(new URL("tail.mjs", import.meta.url), { argv: process.argv.slice(2) })`,
}

describe("the built package", () => {
  let folder: string
  let server: ReferenceServer
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "durable-streams-built-"))
    await installBuiltPackage(folder)
    for (const [name, code] of Object.entries(PROGRAMS)) await writeFile(join(folder, name), code)
    server = await startReferenceServer()
  }, 60_000)
  afterAll(async () => {
    await server?.stop()
    await rm(folder, { recursive: true, maxRetries: 5 })
  })

  it.each([
    ["an ES module", "tail.mjs"],
    ["CommonJS", "tail.cjs"],
    ["a worker thread", "worker.mjs"],
  ])("reads and writes live in %s, and lets the process end", async (_, program) => {
    const { url } = await DurableStream.create({
      url: server.streamUrl("chat"),
      contentType: "application/json",
      body: [{ text: "stored" }],
    })
    const ended = await run(process.execPath, [program, url], { cwd: folder })
    expect(ended).toEqual({ stdout: "stored\nlive\n", stderr: "" })
  })
})
