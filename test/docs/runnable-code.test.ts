import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { codeBlocksOf, markdownFiles, readText } from "./code-block.ts"
import { openPlayhouse, type Playhouse } from "./run-block.ts"

const blocks = markdownFiles()
  .flatMap((file) => codeBlocksOf(file, readText(file)))
  .filter(({ isExample }) => !isExample)
const shown = blocks.filter(({ info, isWrong }) => !isWrong && info !== "no-run")
const failing = blocks.filter(({ code, isWrong }) => isWrong && promisedFailure(code) !== undefined)

/** What the block itself says that it prints. */
function promisedLines(code: string): string[] {
  return [...code.matchAll(/\/\/ prints: (.*)$/gm)].map(([, line]) => line!)
}

/** The code of the error that a wrong block says it fails with. */
function promisedFailure(code: string): string | undefined {
  return /\/\/ fails: ([A-Z_]+)$/m.exec(code)?.[1]
}

describe("the code of the README, the guides and the skills", () => {
  let playhouse: Playhouse
  beforeAll(async () => {
    playhouse = await openPlayhouse([...shown, ...failing])
  })
  afterAll(() => playhouse.dispose())

  it("is run but for what cannot be, and then says why", () => {
    const reasons = blocks.filter(({ info }) => info === "no-run").map(({ code }) => code)
    expect(reasons.filter((code) => !/^\/\/ (Runs|Needs) /.test(code))).toEqual([])
    expect(blocks.filter(({ info }) => !["", "no-run"].includes(info))).toEqual([])
    for (const [text, count] of Object.entries({ "README.md": 4, "docs/": 12, "skills/": 30 })) {
      expect(shown.filter(({ file }) => file.startsWith(text)).length).toBeGreaterThan(count)
    }
  })

  it.concurrent.each(shown.map((block) => [block.place, block] as const))(
    "%s runs to its end and prints what it says",
    async (_place, block) => {
      const { exitCode, stdout, stderr } = await playhouse.run(block)
      expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" })
      const lines = stdout.split("\n")
      expect(lines.filter((line) => promisedLines(block.code).includes(line))).toEqual(
        promisedLines(block.code),
      )
    },
  )

  it.concurrent.each(failing.map((block) => [block.place, block] as const))(
    "%s, which is wrong, fails as it says",
    async (_place, block) => {
      const { exitCode, stderr } = await playhouse.run(block)
      expect(exitCode).toBe(1)
      expect(stderr).toContain(`code: '${promisedFailure(block.code)}'`)
    },
  )
})
