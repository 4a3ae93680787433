import { describe, expect, it } from "vitest"
import { errorFromResponse as toError } from "../../../src/errors/error-from-response.ts"
import { readErrorBody } from "../../../src/http/response.ts"
import { FetchError } from "../../../src/errors/fetch-error.ts"
import { SequenceGapError } from "../../../src/errors/sequence-gap-error.ts"
import { StaleEpochError } from "../../../src/errors/stale-epoch-error.ts"
import { codeForResponse, type Operation } from "../../../src/errors/status-code.ts"
import { StreamClosedError } from "../../../src/errors/stream-closed-error.ts"

const operations: readonly Operation[] = [
  "create",
  "fork",
  "append",
  "close",
  "read",
  "head",
  "delete",
]

describe("codeForResponse", () => {
  it.each([
    [400, "BAD_REQUEST"],
    [401, "UNAUTHORIZED"],
    [403, "FORBIDDEN"],
    [404, "NOT_FOUND"],
    [408, "TIMEOUT"],
    [410, "GONE"],
    [413, "PAYLOAD_TOO_LARGE"],
    [415, "CONTENT_TYPE_MISMATCH"],
    [418, "UNKNOWN"],
    [429, "RATE_LIMITED"],
    [500, "UNKNOWN"],
    [502, "UNKNOWN"],
    [503, "BUSY"],
  ])("says of %i, whatever was asked for: %s", (status, code) => {
    for (const operation of [...operations, undefined]) {
      expect(codeForResponse(status, new Headers(), operation)).toBe(code)
    }
  })

  const closed = { "stream-closed": "true" }
  const gap = { "producer-expected-seq": "3", "producer-received-seq": "5" }
  it.each<[Operation | undefined, boolean, Record<string, string>, string]>([
    ["create", false, {}, "CONFLICT_EXISTS"],
    ["create", false, closed, "CONFLICT_EXISTS"],
    ["fork", false, closed, "CONFLICT_EXISTS"],
    ["append", false, closed, "STREAM_CLOSED"],
    ["append", true, closed, "STREAM_CLOSED"],
    ["close", false, closed, "STREAM_CLOSED"],
    [undefined, true, closed, "STREAM_CLOSED"],
    // Closure is checked before any other conflict.
    ["append", true, { ...gap, ...closed }, "STREAM_CLOSED"],
    ["append", false, gap, "SEQUENCE_GAP"],
    ["append", true, gap, "SEQUENCE_GAP"],
    ["append", true, {}, "CONFLICT_SEQ"],
    // Only an append that sent a sequence can have a conflict of it.
    ["append", false, {}, "CONTENT_TYPE_MISMATCH"],
    ["close", false, {}, "CONTENT_TYPE_MISMATCH"],
    ["append", false, { "stream-closed": "false" }, "CONTENT_TYPE_MISMATCH"],
    ["read", true, {}, "CONFLICT_SEQ"],
    [undefined, true, {}, "CONFLICT_SEQ"],
  ])("tells the 409 of %s (seq: %s) with %j apart: %s", (operation, sentSeq, headers, code) => {
    expect(codeForResponse(409, new Headers(headers), operation, sentSeq)).toBe(code)
  })

  it("takes a 403 for fencing only where it names an epoch", () => {
    expect(codeForResponse(403, new Headers({ "producer-epoch": "4" }), "append")).toBe(
      "STALE_EPOCH",
    )
    expect(codeForResponse(403, new Headers({ "producer-epoch": "x" }), "append")).toBe("FORBIDDEN")
  })
})

const errorFromResponse = async (response: Response, context: Parameters<typeof toError>[2]) =>
  toError(response, await readErrorBody(response), context)

describe("errorFromResponse", () => {
  const url = "http://user:secret@h/s?token=secret"

  it("gives an error of the class that fits, with what the headers say", async () => {
    const closed = await errorFromResponse(
      new Response("closed", {
        status: 409,
        headers: { "stream-closed": "true", "stream-next-offset": "9" },
      }),
      { url, operation: "append" },
    )
    expect(closed).toBeInstanceOf(StreamClosedError)
    expect(closed).toMatchObject({
      name: "StreamClosedError",
      finalOffset: "9",
      streamClosed: true,
      cause: { text: "closed" },
    })
    const gap = await errorFromResponse(
      new Response(null, {
        status: 409,
        headers: { "producer-expected-seq": "3", "producer-received-seq": "5" },
      }),
      { url, operation: "append" },
    )
    expect(gap).toBeInstanceOf(SequenceGapError)
    expect(gap).toMatchObject({ expectedSeq: 3, receivedSeq: 5, status: 409 })
    const stale = await errorFromResponse(
      new Response(null, { status: 403, headers: { "producer-epoch": "7" } }),
      { url, operation: "append" },
    )
    expect(stale).toBeInstanceOf(StaleEpochError)
    expect(stale).toMatchObject({ currentEpoch: 7, status: 403 })
    for (const error of [closed, gap, stale]) {
      expect(error.cause).toBeInstanceOf(FetchError)
      expect(error.message).toContain("http://h/s")
      expect(error.message).not.toContain("secret")
    }
  })

  it("speaks of a seq only where one can have been sent", async () => {
    const messageOf = async (operation: "append" | "read" | "head" | "delete") =>
      (
        await errorFromResponse(new Response(null, { status: 409 }), {
          url,
          operation,
          sentSeq: true,
        })
      ).message
    expect(await messageOf("append")).toContain("seq")
    for (const operation of ["read", "head", "delete"] as const) {
      expect(await messageOf(operation)).toContain("rejected")
      expect(await messageOf(operation)).not.toContain("seq")
    }
  })

  it("gives a FetchError with the body, and says nothing of the query or the credentials", async () => {
    const error = await errorFromResponse(
      new Response('{"reason":"why"}', {
        status: 400,
        headers: { "content-type": "application/problem+json", "x-request": "1" },
      }),
      { url, operation: "append", indeterminate: true },
    )
    expect(error).toBeInstanceOf(FetchError)
    expect(error).toMatchObject({
      name: "FetchError",
      code: "BAD_REQUEST",
      status: 400,
      json: { reason: "why" },
      details: { reason: "why" },
      url: "http://h/s",
      indeterminate: true,
    })
    expect(error).toHaveProperty("headers.x-request", "1")
    expect(error.message).toContain("append http://h/s failed with status 400")
    expect(JSON.stringify(error) + String(error.stack)).not.toContain("secret")
  })

  const bodies: readonly (readonly [string, string, BodyInit, string | undefined])[] = [
    [
      "the first line of text",
      "text/plain",
      "Invalid offset format\nat parse()",
      "Invalid offset format",
    ],
    ["an error in JSON", "application/json", '{"error":"Invalid offset"}', "Invalid offset"],
    ["a message in JSON", "application/json", '{"error":1,"message":"No such"}', "No such"],
    [
      "the message of the protocol's error",
      "application/json",
      '{"error":{"code":"X","message":"No such id"}}',
      "No such id",
    ],
    ["no other JSON", "application/json", '{"reason":"why"}', undefined],
    ["no page", "text/html", "<h1>Bad</h1>", undefined],
    ["no query", "text/plain", "Bad URL /s?token=secret", undefined],
    ["no credential", "text/plain", "Bad header: Bearer secret", undefined],
    ["no empty body", "text/plain", " \n", undefined],
    ["no more than 200 characters", "text/plain", "x".repeat(300), "x".repeat(200)],
  ]
  it.each(bodies)("repeats of a 400 %s", async (_what, type, body, shown) => {
    const response = new Response(body, { status: 400, headers: { "content-type": type } })
    const { message } = await errorFromResponse(response, { url, operation: "read" })
    expect(message).not.toContain("secret")
    expect(message).toContain(
      `failed with status 400${shown === undefined ? "" : `: "${shown}"`}. `,
    )
  })

  it("says what to do, and of a write in doubt that it is", async () => {
    const response = () => new Response(null, { status: 504 })
    const inDoubt = await errorFromResponse(response(), {
      url,
      operation: "append",
      indeterminate: true,
    })
    expect(inDoubt.message).toContain("may have succeeded")
    const read = await errorFromResponse(response(), { url, operation: "read" })
    expect(read.message).toMatch(/failed with status 504\. See text and json of this error\.$/)
    const missing = await errorFromResponse(new Response(null, { status: 404 }), {
      url,
      operation: "read",
    })
    expect(missing.message).toContain("Create it")
  })

  it("names the source where a fork finds none", async () => {
    const response = () => new Response(null, { status: 404 })
    const fork = await errorFromResponse(response(), { url, operation: "fork" })
    expect(fork.message).toContain("stream to fork does not exist")
    const create = await errorFromResponse(response(), { url, operation: "create" })
    expect(create.message).not.toContain("to fork")
  })
})
