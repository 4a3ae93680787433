import { afterAll, beforeAll, describe, expect, inject, it } from "vitest"
import { runtimesIn, versionOf } from "./runtime.ts"
import { smokeCases, type SmokeResult } from "./smoke-cases.ts"
import { startSmokeServer, type SmokeServer } from "./smoke-server.ts"

const runtimes = await Promise.all(
  runtimesIn(inject("binariesFolder")).map(async (runtime) => ({
    ...runtime,
    version: await versionOf(runtime),
  })),
)

describe.each(runtimes)("$name", ({ name, version, run, loadsByRequire }) => {
  if (version === undefined) {
    it.skip(`left out: ${name} could not be installed, or does not run on this machine`)
    return
  }
  let server: SmokeServer
  let results: SmokeResult[] = []

  beforeAll(async () => {
    server = await startSmokeServer()
    results = await run(inject("smokeFolder"), server.url)
    console.log(`${name} ${version}: ${results.length} cases`)
  }, 100_000)
  afterAll(() => server.stop())

  it.each(Object.keys(smokeCases))("%s", (caseName) => {
    const result = results.find((other) => other.name === caseName)
    expect(result).toEqual({ name: caseName })
  })

  it("was in fact denied a response", () => {
    expect(server.lost.size).toBe(1)
  })

  if (loadsByRequire === undefined) return
  it("loads the package by require, too", async () => {
    expect(await loadsByRequire(inject("smokeFolder"))).toBe("function function")
  })
})
