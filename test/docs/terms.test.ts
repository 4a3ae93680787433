import { describe, expect, it } from "vitest"
import { markdownFiles, readText } from "./code-block.ts"

/** Words that the texts for users do not use, each with the term that they use instead (docs/concepts.md). */
const REPLACED_WORDS: readonly (readonly [word: RegExp, term: string])[] = [
  [/\banswer(s|ed|ing)?\b/i, "response, respond"],
  [/\b(in|no|in no) doubt\b|\bdoubtful\b|\binDoubt/i, "indeterminate"],
  [/\bleft out\b|\bleftOut|\bleave[sd]? out\b/i, "rejected, omitted"],
  // A connection is refused; a request is rejected.
  [
    /\brefus(e|es|ing|al|als)\b|\brefused\b(?! connection|, reset)(?<!connection refused)/i,
    "rejected",
  ],
  [
    /\b(told|tells?|telling) (of|apart|by|to|nobody|anybody)\b|\btold\b/i,
    "notified, reported, distinguished",
  ],
  [/\banew\b|\bonce more\b|\btr(y|ied|ying) again\b/i, "again, retry"],
  [/\bfor ever\b|\bforever\b/i, "indefinitely"],
  [/\bin silence\b/i, "silently"],
  [/\b(nobody|whoever)\b/i, "no other client, the caller"],
  [/\bmend(s|ed|ing)?\b/i, "fix"],
  [/\bcompany\b/i, "linger"],
  [/\bunder way\b/i, "in flight"],
  [
    /\b(fate|verdict|intake|narrator|untrodden)\b|\bforeign (page|duplicate)\b/i,
    "outcome, or a plain sentence",
  ],
]

/** CONTRIBUTING.md is for contributors and lists the terms itself. */
const texts = markdownFiles().filter((file) => file !== "CONTRIBUTING.md")

function replacedWordsOf(text: string): string[] {
  return text
    .split("\n")
    .flatMap((line, index) =>
      REPLACED_WORDS.filter(([word]) => word.test(line)).map(
        ([word, term]) => `${index + 1}: ${word.exec(line)![0]} → ${term}`,
      ),
    )
}

describe("the texts for users", () => {
  it("include the README, the changelog, the guides and the skills", () => {
    expect(texts).toEqual(expect.arrayContaining(["README.md", "CHANGELOG.md"]))
    expect(texts.filter((file) => file.startsWith("docs/")).length).toBeGreaterThan(10)
    expect(texts.filter((file) => file.startsWith("skills/")).length).toBeGreaterThan(6)
  })

  it.each(texts)("%s uses the terms of the glossary", (file) => {
    expect(replacedWordsOf(readText(file))).toEqual([])
  })

  it("are checked: a replaced word is found with its line and its term", () => {
    expect(replacedWordsOf("The server responds.\nIts answer is in doubt.")).toEqual([
      "2: answer → response, respond",
      "2: in doubt → indeterminate",
    ])
  })
})
