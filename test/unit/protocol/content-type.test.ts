import { expect, it } from "vitest"
import { isJsonContentType, isPlainInSse, mediaType } from "../../../src/protocol/content-type.ts"

it.each([
  ["application/json", "application/json"],
  ["Application/JSON; charset=utf-8", "application/json"],
  [" text/plain ;x=y", "text/plain"],
  ["", ""],
  [null, ""],
  [undefined, ""],
])("takes the media type out of %j", (given, expected) => {
  expect(mediaType(given)).toBe(expected)
})

it.each([
  ["application/json", true],
  ["APPLICATION/JSON;charset=utf-8", true],
  ["application/jsonl", false],
  ["application/ld+json", false],
  ["text/json", false],
  [null, false],
])("tells whether %j is JSON mode: %j", (given, expected) => {
  expect(isJsonContentType(given)).toBe(expected)
})

it.each([
  ["text/plain", true],
  ["Text/Markdown; charset=utf-8", true],
  ["application/json", true],
  ["application/jsonl", false],
  ["application/octet-stream", false],
  ["texture/x", false],
  [undefined, false],
])("tells whether SSE carries %j as it is: %j", (given, expected) => {
  expect(isPlainInSse(given)).toBe(expected)
})
