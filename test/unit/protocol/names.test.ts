import { expect, it } from "vitest"
import { CONTENT_TYPE_HEADER, cors } from "../../../src/protocol/names.ts"
import * as names from "../../../src/protocol/names.ts"

/** The reference server's names of the headers that requests and responses have beside the protocol's. */
const others = ["Authorization", "ETag", "Retry-After", "Date", "Location"]

it("names the headers of conditional appends and forks as the protocol does", () => {
  expect([
    names.STREAM_EXPECTED_OFFSET_HEADER,
    names.STREAM_FORKED_FROM_HEADER,
    names.STREAM_FORK_OFFSET_HEADER,
    names.STREAM_FORK_SUB_OFFSET_HEADER,
  ]).toEqual([
    "Stream-Expected-Offset",
    "Stream-Forked-From",
    "Stream-Fork-Offset",
    "Stream-Fork-Sub-Offset",
  ])
})

it("cors names every header of the protocol as one that is allowed, exposed or both", () => {
  const all = Object.entries(names).flatMap(([name, value]) =>
    name.endsWith("_HEADER") && typeof value === "string" ? [value] : [],
  )
  expect(new Set([...cors.allowedHeaders, ...cors.exposedHeaders])).toEqual(
    new Set([...all, ...others]),
  )
  const requests = all.filter((name) =>
    /Seq$|TTL|Expires-At|Closed|Fork|Expected-Offset|Producer-(Id|Epoch|Seq)/.test(name),
  )
  const sent = requests.filter((name) => !/Expected-Seq|Received-Seq/.test(name))
  expect([...cors.allowedHeaders].sort()).toEqual(
    ["Authorization", CONTENT_TYPE_HEADER, ...sent].sort(),
  )
  expect(cors.allowedMethods).toEqual(["GET", "HEAD", "POST", "PUT", "DELETE"])
})
