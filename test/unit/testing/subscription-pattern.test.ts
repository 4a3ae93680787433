import { expect, it } from "vitest"
import { matches } from "../../../src/testing/model-subscription.ts"

it.each<[pattern: string, linked: string[], others: string[]]>([
  ["a/b", ["a/b"], ["a", "a/b/c", "a/bc", "x/a/b"]],
  ["a/*", ["a/b", "a/b.c"], ["a", "a/b/c", "b/a"]],
  ["*", ["a"], ["a/b"]],
  ["a/**", ["a/b", "a/b/c"], ["a", "b/a"]],
  ["**", ["a", "a/b/c"], []],
  ["**/c", ["a/c", "a/b/c"], ["c", "a/c/d"]],
  ["a/**/d", ["a/b/d", "a/b/c/d"], ["a/d", "a/b/c"]],
  ["a-*-z", ["a-b-z", "a--z", "a-b-c-z"], ["a-z", "a-b", "b-a-b-z"]],
  ["*b*", ["b", "abc"], ["ac"]],
  ["aba*aba", ["abaaba", "aba-aba"], ["aba", "ababa"]],
  ["a.b", ["a.b"], ["axb"]],
])("the pattern %s links the paths that it names, and no others", (pattern, linked, others) => {
  expect([...linked, ...others].filter((path) => matches(pattern, path))).toEqual(linked)
})
