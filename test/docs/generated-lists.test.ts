import { beforeAll, describe, expect, it } from "vitest"
import { markdownFiles, readText } from "./code-block.ts"
import { Docstrings, listNamesOf } from "./generated-lists.ts"

describe("the lists of options and codes", () => {
  let docstrings: Docstrings
  // Compilers are slow on a busy machine.
  beforeAll(() => {
    docstrings = new Docstrings()
  }, 300_000)

  const files = markdownFiles().filter((file) =>
    /<!-- (options|codes|example) /.test(readText(file)),
  )

  it("are in the guides and in the skills", () => {
    expect(files).toEqual(
      expect.arrayContaining([
        "docs/errors.md",
        "docs/exactly-once.md",
        "docs/frameworks.md",
        "docs/reading.md",
        "docs/testing.md",
        "docs/writing.md",
        "skills/reading-streams/references/stream-options.md",
        "skills/troubleshooting/references/error-codes.md",
        "skills/writing-data/references/idempotent-producer.md",
      ]),
    )
  })

  it.each(files)(
    "of %s are those of the docstrings, and its examples those that are run: npm run docs:lists writes them",
    (file) => {
      expect(docstrings.fill(readText(file))).toBe(readText(file))
    },
  )

  it("say something about each option and each code", () => {
    const names = new Set(files.flatMap((file) => listNamesOf(readText(file))))
    for (const name of names) {
      const items = name.endsWith("Code") ? docstrings.codesOf(name) : docstrings.optionsOf(name)
      expect(items.length, name).toBeGreaterThan(0)
      expect(items.filter(({ text }) => text === "").map(({ name: item }) => item)).toEqual([])
    }
  })

  it("are replaced, and nothing beside them", () => {
    const text = "Before.\n\n<!-- options CloseOptions -->\n\n- stale\n\n<!-- end -->\n\nAfter.\n"
    const filled = docstrings.fill(text)
    expect(filled).toMatch(/^Before\.\n\n<!-- options CloseOptions -->\n\n- `body`/)
    expect(filled.endsWith("\n\n<!-- end -->\n\nAfter.\n")).toBe(true)
    expect(filled).not.toContain("stale")
    expect(() => docstrings.fill(text.replace("CloseOptions", "NoOptions"))).toThrow("NoOptions")
  })
})
