import { execFile } from "node:child_process"
import { readFile } from "node:fs/promises"
import { relative } from "node:path"
import { promisify } from "node:util"
import { describe, expect, inject, it } from "vitest"

const run = promisify(execFile)
const consumerFolder = inject("consumerFolder")

/** Runs a program in the consumer's project; that it returns at all shows that nothing keeps the process alive. */
async function runInConsumer(type: "module" | "commonjs", code: string): Promise<unknown> {
  const { stdout, stderr } = await run(process.execPath, [`--input-type=${type}`, "-e", code], {
    cwd: consumerFolder,
  })
  expect(stderr).toBe("")
  return JSON.parse(stdout)
}

const REPORT =
  "console.log(JSON.stringify(Object.entries(client).map(([k, v]) => [k, typeof v]).sort()))"

describe("the installed package", () => {
  it("gives import and require the same names", async () => {
    const imported = await runInConsumer(
      "module",
      `import * as client from "@durable-streams/client"; ${REPORT}`,
    )
    const required = await runInConsumer(
      "commonjs",
      `const client = require("@durable-streams/client"); ${REPORT}`,
    )
    expect(imported).toEqual(required)
    expect(imported).toEqual(
      expect.arrayContaining([
        ["DurableStream", "function"],
        ["IdempotentProducer", "function"],
        ["stream", "function"],
      ]),
    )
  })

  it.each(["outbox", "store", "subscriptions", "tabs", "testing"])(
    "gives import and require the same names of ./%s, without the optional peers",
    async (name) => {
      const path = `@durable-streams/client/${name}`
      const imported = await runInConsumer("module", `import * as client from "${path}"; ${REPORT}`)
      const required = await runInConsumer(
        "commonjs",
        `const client = require("${path}"); ${REPORT}`,
      )
      expect(imported).toEqual(required)
      expect(imported).not.toEqual([])
    },
  )

  it.each(["module", "commonjs"] as const)(
    "says that ./react needs react, which is not installed (%s)",
    async (type) => {
      const load = type === "module" ? "import" : "require"
      const code = `Promise.resolve().then(() => ${load}("@durable-streams/client/react"))
        .catch(({ message }) => console.log(JSON.stringify(message)))`
      expect(await runInConsumer(type, code)).toMatch(/^Cannot find (package|module) 'react'/)
    },
  )

  it("lets an ES module import the CommonJS build by name", async () => {
    const code = `import { stream } from "./node_modules/@durable-streams/client/dist/index.cjs"
      console.log(JSON.stringify(typeof stream))`
    expect(await runInConsumer("module", code)).toBe("function")
  })

  it("shows its package.json and keeps the rest to itself", async () => {
    const code = `const refused = (path) => { try { require(path); return "loaded" } catch (e) { return e.code } }
      console.log(JSON.stringify([
        require("@durable-streams/client/package.json").name,
        refused("@durable-streams/client/dist/index.cjs"),
      ]))`
    expect(await runInConsumer("commonjs", code)).toEqual([
      "@durable-streams/client",
      "ERR_PACKAGE_PATH_NOT_EXPORTED",
    ])
  })

  it.each(["import", "require"])(
    "has stack traces that lead to the sources after %s",
    async (way) => {
      const load =
        way === "import"
          ? 'await import("@durable-streams/client")'
          : 'require("@durable-streams/client")'
      const code = `process.setSourceMapsEnabled(true)
      const { DurableStream } = ${load}
      try { new DurableStream({ url: "https://example.com/s", headers: 3 }) }
      catch (error) { console.log(JSON.stringify(error.stack)) }`
      const stack = String(await runInConsumer(way === "import" ? "module" : "commonjs", code))
      const [, file, line] = /at new DurableStream \((.*durable-stream\.ts):(\d+)/.exec(stack)!
      const source = await readFile(file!, "utf8")
      expect(source.split("\n")[Number(line) - 1]).toContain("createEndpoint(")
      expect(relative(consumerFolder, file!)).toMatch(
        /^node_modules.*client\/src\/durable-stream.ts$/,
      )
    },
  )

  it("changes no global and starts nothing when it is loaded", async () => {
    const code = `const before = Reflect.ownKeys(globalThis).length
      await import("@durable-streams/client")
      console.log(JSON.stringify([
        Reflect.ownKeys(globalThis).length - before,
        process.getActiveResourcesInfo().filter((name) => name === "Timeout"),
      ]))`
    expect(await runInConsumer("module", code)).toEqual([0, []])
  })
})
