import { execFile } from "node:child_process"
import { copyFile, readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { promisify } from "node:util"
import { transform } from "esbuild"
import { describe, expect, inject, it } from "vitest"
import { startReferenceServer } from "../support/reference-server.ts"

const run = promisify(execFile)
const folder = inject("dependantsFolder")
const PROGRAMS = join(import.meta.dirname, "dependants")

/** Runs a program whose packages use the packed client; that it returns shows that nothing keeps the process alive. */
async function runProgram(name: string): Promise<unknown> {
  await using server = await startReferenceServer({ longPollTimeout: 500 })
  const source = await readFile(join(PROGRAMS, `${name}.ts`), "utf8")
  const { code } = await transform(source, { loader: "ts", tsconfigRaw: {} })
  const report = `console.log("REPORT " + JSON.stringify(await run(${JSON.stringify(server.url)})))`
  await writeFile(join(folder, `${name}.mjs`), `${code}\n${report}`)
  const options = { cwd: folder, timeout: 30_000 }
  const running = run(process.execPath, [`${name}.mjs`], options)
  running.child.stdout?.on("data", (text) => {
    // The Yjs server never lets go of what it reads for others: it ends with the server that it reads from.
    if (String(text).includes("REPORT ")) void server.stop()
  })
  const { stdout, stderr } = await running
  expect(stderr).toBe("")
  const line = stdout.split("\n").find((text) => text.startsWith("REPORT "))
  return JSON.parse(line?.slice("REPORT ".length) ?? "null")
}

describe("A package that builds on the client", () => {
  it("keeps databases of one stream in step: @durable-streams/state", async () => {
    expect(await runProgram("state")).toEqual({
      refused: 404,
      events: [
        ["1", "2", "3", "1"],
        ["1", "2", "3", "1"],
      ],
      users: [
        ["2", "3"],
        ["2", "3"],
        ["2", "3"],
      ],
      isSameOffset: true,
      pending: "StreamDB closed",
    })
  })

  it("keeps editors of one document in step: @durable-streams/y-durable-streams", async () => {
    const stay = ["connecting", "connected", "disconnected"]
    expect(await runProgram("yjs")).toEqual({
      left: stay,
      annAndBob: true,
      bobAndEve: true,
      statuses: [[...stay, ...stay], stay, stay],
    })
  })

  it("carries a conversation: the transports of the AI SDKs", async () => {
    expect(await runProgram("chat")).toEqual({
      session: {
        status: 200,
        isLive: true,
        stored: [
          ["question", 2],
          ["answer", 240],
        ],
        offset: "string",
      },
      answer: [true, true],
    })
  })

  it.each(["typescript-5.9", "typescript-7"])("compiles with %s", async (compiler) => {
    const files = ["state.ts", "yjs.ts", "chat.ts", "ai.d.ts"]
    for (const file of files) await copyFile(join(PROGRAMS, file), join(folder, file))
    const tsc = join(inject("compilersFolder"), compiler, "bin/tsc")
    const options =
      "--noEmit --strict --target es2022 --module nodenext --lib es2023,dom --pretty false"
    const output = await run(process.execPath, [tsc, ...files, ...options.split(" ")], {
      cwd: folder,
    }).catch((error: unknown) => error)
    expect(output).toMatchObject({ stdout: "" })
  })
})
