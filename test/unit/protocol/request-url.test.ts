import { describe, expect, it } from "vitest"
import { describeUrl, pathOf, requestUrl } from "../../../src/protocol/request-url.ts"

describe("requestUrl", () => {
  it.each([
    ["http://h/s", {}, "http://h/s"],
    ["http://h/s", { offset: "-1" }, "http://h/s?offset=-1"],
    // Sorted by name, so that caches see one URL for one read.
    [
      "http://h/s",
      { live: "sse", cursor: "c", offset: "o" },
      "http://h/s?cursor=c&live=sse&offset=o",
    ],
    ["http://h/s", { b: "2", B: "1", a: "3" }, "http://h/s?B=1&a=3&b=2"],
    ["http://h/s", { a: undefined, b: "1" }, "http://h/s?b=1"],
    ["http://h/s", { a: undefined }, "http://h/s"],
    // Offsets are opaque and can hold anything.
    [
      "http://h/s",
      { offset: "a/b+c=&?#%é 1" },
      "http://h/s?offset=a%2Fb%2Bc%3D%26%3F%23%25%C3%A9%201",
    ],
    // What the URL brings stays in front, byte for byte.
    ["http://h/s?sig=a%2fb+c&x", { a: "1" }, "http://h/s?sig=a%2fb+c&x&a=1"],
    ["http://h/s?z=1&a=%E0%A4%A&y=", { a: undefined }, "http://h/s?z=1&a=%E0%A4%A&y="],
    ["http://h/s?&&a", {}, "http://h/s?&&a"],
    // Less the reserved names, however they are written.
    ["http://h/s?offset=9&a=1&live=sse&cursor=x", {}, "http://h/s?a=1"],
    ["http://h/s?off%73et=9&a=1", { offset: "1" }, "http://h/s?a=1&offset=1"],
    ["http://h/s?offset", { offset: "1" }, "http://h/s?offset=1"],
    ["http://h/s?Offset=9", { offset: "1" }, "http://h/s?Offset=9&offset=1"],
    // And less what is set anew.
    ["http://h/s?a=old&b=keep", { a: "new" }, "http://h/s?b=keep&a=new"],
    ["http://h/s?a+b=old", { "a b": "new" }, "http://h/s?a%20b=new"],
    ["http://h/s?q=1#fragment?x", { a: "1" }, "http://h/s?q=1&a=1"],
    ["http://h/p%20q/é?", { a: "1" }, "http://h/p%20q/é?a=1"],
  ])("makes %s with %j into %s", (url, query, expected) => {
    expect(requestUrl(url, query)).toBe(expected)
  })
})

it("holds a whole character in place of each half of one, which no URL can hold", () => {
  expect(requestUrl("http://h/s", { cursor: "a\ud800b\udc00", offset: "\ud83d\ude00" })).toBe(
    "http://h/s?cursor=a%EF%BF%BDb%EF%BF%BD&offset=%F0%9F%98%80",
  )
})

describe("describeUrl", () => {
  it.each([
    ["http://h/s?token=secret", "http://h/s"],
    ["http://h/s#secret", "http://h/s"],
    ["http://user:secret@h/s?x", "http://h/s"],
    ["https://secret@h:1/a@b", "https://h:1/a@b"],
    ["http://h/a@b", "http://h/a@b"],
    ["no url?secret", "no url"],
    ["http://[::1]:80/s?x", "http://[::1]:80/s"],
    // Malformed, and with credentials anywhere.
    ["https://user:a@PW@h/s", "https://h/s"],
    ["https:/user:secret@h/s", "https://h/s"],
    ["https:\\\\user:secret@h/s", "https://h/s"],
    ["//user:secret@h/s", "//h/s"],
    ["user:secret@h/s", "//h/s"],
    ["ftp://user:secret@h/s", "//h/s"],
    ["https://user:sec/ret@h/s", "https://h/s"],
    ["https://user:sec?ret@h/s", "a malformed URL"],
    ["https://user:sec#ret@h/s", "a malformed URL"],
    ["s?mail=me@secret", "a malformed URL"],
  ])("shows %s as %s", (url, expected) => {
    expect(describeUrl(url)).toBe(expected)
  })
})

it("takes the path of a stream as it stands in its URL", () => {
  expect(pathOf("http://h/a%20b/c?x=y")).toBe("/a%20b/c")
  expect(pathOf("http://h")).toBe("/")
})
