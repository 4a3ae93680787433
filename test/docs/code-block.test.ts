import { describe, expect, it } from "vitest"
import { allCodeBlocks, codeBlocksOf, docstringBlocksOf } from "./code-block.ts"
import { typeCheck } from "./type-check.ts"

// Compilers are slow on a busy machine; what counts is what they say.
describe("code blocks", { timeout: 300_000 }, () => {
  it("are found in Markdown with their place, their info and what stands before them", () => {
    const text =
      "# T\n\n```ts\nlet a = 1\n```\n\nWrong:\n\n```typescript no-run\nb\n\nc\n```\n```bash\nd\n```"
    expect(codeBlocksOf("a.md", text)).toEqual([
      {
        place: "a.md:4",
        file: "a.md",
        code: "let a = 1",
        extension: "ts",
        info: "",
        isWrong: false,
        isExample: false,
      },
      {
        place: "a.md:10",
        file: "a.md",
        code: "b\n\nc",
        extension: "ts",
        info: "no-run",
        isWrong: true,
        isExample: false,
      },
    ])
  })

  it("are found in docstrings", () => {
    const source =
      "x\n/**\n * Does.\n *\n * @example\n * ```ts\n * does({\n *   a,\n * })\n * ```\n */\n"
    expect(docstringBlocksOf("a.ts", source)).toEqual([
      {
        place: "a.ts:7",
        file: "a.ts",
        code: "does({\n  a,\n})",
        extension: "ts",
        info: "",
        isWrong: false,
        isExample: false,
      },
    ])
  })

  it("compile, wherever they stand", () => {
    // Those of examples are modules of the project, which the compiler checks there.
    const blocks = allCodeBlocks().filter(({ isExample }) => !isExample)
    expect(blocks.filter(({ file }) => file.startsWith("skills/")).length).toBeGreaterThan(30)
    expect(blocks.filter(({ file }) => file.startsWith("src/")).length).toBeGreaterThan(2)
    expect(typeCheck(blocks)).toEqual([])
  })

  it("are told from code that does not compile", () => {
    const [block] = codeBlocksOf("a.md", "```ts\n\nconst a: number = 'b'\n```")
    expect(typeCheck([block!])).toEqual([expect.stringMatching(/^a\.md:3: Type 'string'/)])
  })
})
