import { type } from "arktype"
import * as v from "valibot"
import { describe, expect, it, vi } from "vitest"
import { z } from "zod"
import {
  isDurableStreamError,
  stream,
  type StandardSchemaV1,
  type StreamFailure,
  type StreamOptions,
} from "../../../src/index.ts"
import { consume, METHODS } from "../../integration/reading-support.ts"
import { rejection } from "../../support/rejection.ts"
import { makeResponse, scriptedFetch } from "../../support/scripted-fetch.ts"

const url = "https://streams.test/s?token=secret"
const headers = (offset: string, more: Record<string, string> = {}) => ({
  "content-type": "application/json",
  "stream-next-offset": offset,
  ...more,
})
const tail = { "stream-up-to-date": "true" }
const first = makeResponse(200, headers("1"), '[{"id":1},{"id":2}]')
const second = makeResponse(200, headers("2", tail), '[{"id":"three"},{"id":4}]')
const good = makeResponse(200, headers("2", tail), '[{"id":3},{"id":4}]')

const message = z.object({ id: z.number() })

function open(options: Partial<StreamOptions>, pages = [first, second] as const) {
  const { fetch } = scriptedFetch(pages)
  return stream({ url, fetch, live: false, readAhead: 0, ...options })
}

/** A schema of the caller's own. */
function ownSchema<T>(
  validate: StandardSchemaV1<unknown, T>["~standard"]["validate"],
): StandardSchemaV1<unknown, T> {
  return { "~standard": { version: 1, vendor: "test", validate } }
}

describe("a schema", () => {
  it.each([
    ["zod", z.object({ id: z.number().transform((id) => `no. ${id}`) })],
    [
      "valibot",
      v.object({
        id: v.pipe(
          v.number(),
          v.transform((id) => `no. ${id}`),
        ),
      }),
    ],
    ["arktype", type({ id: ["number", "=>", (id) => `no. ${id}`] })],
  ] as readonly (readonly [string, StandardSchemaV1])[])(
    "of %s: readers get what it makes of a message",
    async (_vendor, schema) => {
      const response = await open({ schema }, [first, good])
      expect(await response.json()).toEqual([1, 2, 3, 4].map((id) => ({ id: `no. ${id}` })))
    },
  )

  it.each(METHODS.json)(
    "validates what %s delivers, and skips what the handler says",
    async (method) => {
      const errors: StreamFailure[] = []
      const response = await open({
        schema: message,
        onError: (error) => {
          errors.push(error)
          return { skip: true }
        },
      })
      expect(await consume(response, method)).toBe('{"id":1}\n{"id":2}\n{"id":4}\n')
      // What json() collects is located from where the caller is.
      const [offset, index] = method === "json" ? ["-1", 2] : ["1", 0]
      const issues = [expect.objectContaining({ path: ["id"] })]
      const details = { offset, index, issues, value: { id: "three" } }
      expect(errors).toEqual([expect.objectContaining({ code: "SCHEMA", details })])
      expect(response.offset).toBe("2")
    },
  )

  it.each(METHODS.json)(
    "ends %s before the page of a message that does not match",
    async (method) => {
      const response = await open({ schema: message })
      const error = await rejection(consume(response, method))
      expect(error).toMatchObject({ code: "SCHEMA" })
      expect((error as Error).message).toBe(
        method === "json"
          ? "Message 2 behind offset -1 of https://streams.test/s does not match the schema: " +
              "Invalid input: expected number, received string, at id."
          : "Message 0 behind offset 1 of https://streams.test/s does not match the schema: " +
              "Invalid input: expected number, received string, at id.",
      )
      expect(await rejection(response.closed)).toBe(error)
      expect(response.offset).toBe(method === "json" ? "-1" : "1")
      expect(response.state).toEqual({ kind: "ended", reason: "failed", error })
    },
  )

  it.each([
    ["nothing", () => undefined],
    ["a retry, which would read the same again", () => ({})],
    ["skip: false", () => ({ skip: false })],
  ])("ends the session if the handler returns %s", async (_what, onError) => {
    const response = await open({ schema: message, onError })
    expect(await rejection(response.json())).toMatchObject({ code: "SCHEMA" })
  })

  it("ends the session with what the handler throws", async () => {
    const own = new Error("own")
    const onError = () => Promise.reject(own)
    const response = await open({ schema: message, onError })
    expect(await rejection(response.json())).toBe(own)
  })

  it("that takes its time keeps the order", async () => {
    let running = 0
    const schema = ownSchema(async (value) => {
      expect(++running).toBe(1)
      const { id } = value as { id: number }
      for (let turn = id; turn < 5; turn++) await Promise.resolve()
      running--
      return { value: id }
    })
    const response = await open({ schema }, [first, good])
    expect(await consume(response, "jsonBatches")).toBe("1\n2\n3\n4\n")
  })

  it.each(METHODS.json)("that never settles does not hold up an abort of %s", async (method) => {
    const controller = new AbortController()
    const validate = vi.fn(() => new Promise<never>(() => undefined))
    const response = await open({ schema: ownSchema(validate), signal: controller.signal })
    const consumed = consume(response, method).then(
      () => "ended",
      (error: unknown) => (error as Error).name,
    )
    await vi.waitFor(() => expect(validate).toHaveBeenCalledOnce())
    controller.abort()
    expect(await consumed).toBe(method === "subscribeJson" ? "ended" : "AbortError")
    expect(validate).toHaveBeenCalledOnce()
  })

  it.each<[string, StandardSchemaV1]>([
    [
      "throws",
      ownSchema(() => {
        throw new Error("a mistake in it")
      }),
    ],
    ["rejects", ownSchema(() => Promise.reject(new Error("a mistake in it")))],
  ])("that %s is named, and the message is located", async (_how, schema) => {
    const error = await rejection((await open({ schema })).json())
    expect(error).toMatchObject({ code: "SCHEMA", details: { offset: "-1", index: 0 } })
    expect(String(error)).toMatch(/: the option schema threw Error: a mistake in it\.$/)
  })

  it.each([null, 1, "zod", {}, () => undefined, { "~standard": {} }])(
    "that is none is rejected by name: %j",
    async (schema) => {
      // @ts-expect-error -- what JavaScript callers can pass
      const error = await rejection(stream({ url, schema }))
      expect(isDurableStreamError(error) && error.code).toBe("BAD_REQUEST")
      expect(String(error)).toContain("The option schema must be a Standard Schema")
    },
  )

  it("has no say in bytes and text", async () => {
    const response = await open({ schema: message })
    expect(await response.text()).toBe('[{"id":1},{"id":2}][{"id":"three"},{"id":4}]')
  })

  it("locates a message behind the offset that the handler chose before", async () => {
    const gone = makeResponse(410)
    const { fetch } = scriptedFetch([first, gone, second])
    const onError = ({ code }: StreamFailure) => (code === "GONE" ? { offset: "-1" } : undefined)
    const response = await stream({
      url,
      fetch,
      live: false,
      readAhead: 0,
      schema: message,
      onError,
    })
    const error = await rejection(consume(response, "jsonBatches"))
    expect(error).toMatchObject({ code: "SCHEMA", details: { offset: "-1", index: 0 } })
  })
})
