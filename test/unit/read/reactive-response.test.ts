import { reactive, ref } from "@vue/reactivity"
import { proxy } from "valtio/vanilla"
import { describe, expect, it } from "vitest"
import { stream } from "../../../src/stream.ts"

const open = () =>
  stream<number>({
    url: "http://stream.test/s",
    fetch: () =>
      Promise.resolve(
        Response.json([1], { headers: { "Stream-Next-Offset": "p1", "Stream-Closed": "true" } }),
      ),
  })

describe("a response in the state of a framework", () => {
  it.each([
    ["Vue's reactive", <T extends object>(value: T) => reactive({ value }).value as T],
    ["Vue's ref", <T extends object>(value: T) => ref(value).value as T],
    ["valtio's proxy", <T extends object>(value: T) => proxy({ value }).value],
  ])("works behind %s", async (_name, wrap) => {
    const response = wrap(await open())
    expect(response.offset).toBe("-1")
    expect(await response.json()).toEqual([1])
    expect(String(response)).toBe("[object StreamResponse]")
  })
})
