import { describe, expect, it } from "vitest"
import { DurableStreamError } from "../../../src/errors/durable-stream-error.ts"
import { FetchBackoffAbortError } from "../../../src/errors/fetch-backoff-abort-error.ts"
import { FetchError } from "../../../src/errors/fetch-error.ts"
import { InvalidSignalError } from "../../../src/errors/invalid-signal-error.ts"
import { MissingStreamUrlError } from "../../../src/errors/missing-stream-url-error.ts"
import { SequenceGapError } from "../../../src/errors/sequence-gap-error.ts"
import { StaleEpochError } from "../../../src/errors/stale-epoch-error.ts"
import { StreamClosedError } from "../../../src/errors/stream-closed-error.ts"

const secretUrl = "http://user:secret@h/s?token=secret"

describe("the error classes", () => {
  it.each([
    [new DurableStreamError("m", "BUSY", 503, { a: 1 }), "DurableStreamError", "BUSY", 503],
    [new FetchError(404, "t", undefined, {}, "http://h/s"), "FetchError", "NOT_FOUND", 404],
    [new StreamClosedError("http://h/s", "9"), "StreamClosedError", "STREAM_CLOSED", 409],
    [new StaleEpochError(7), "StaleEpochError", "STALE_EPOCH", 403],
    [new SequenceGapError(3, 5), "SequenceGapError", "SEQUENCE_GAP", 409],
    [new MissingStreamUrlError(), "MissingStreamUrlError", "BAD_REQUEST", undefined],
    [new InvalidSignalError(), "InvalidSignalError", "BAD_REQUEST", undefined],
    [new FetchBackoffAbortError("why"), "AbortError", "ABORTED", undefined],
  ])("%o is a DurableStreamError with name, code and status", (error, name, code, status) => {
    expect(error).toBeInstanceOf(DurableStreamError)
    expect(error).toBeInstanceOf(Error)
    expect(error.name).toBe(name)
    expect(error.code).toBe(code)
    expect(error.status).toBe(status)
    expect(String(error)).toContain(name)
    expect(error.message).not.toBe("")
  })

  it("carry what they are about", () => {
    expect(new DurableStreamError("m", "BUSY", 503, { a: 1 })).toMatchObject({ details: { a: 1 } })
    expect(new StreamClosedError(secretUrl, "9")).toMatchObject({ finalOffset: "9" })
    expect(new StreamClosedError().finalOffset).toBeUndefined()
    expect(new StaleEpochError(7).currentEpoch).toBe(7)
    expect(new SequenceGapError(3, 5)).toMatchObject({ expectedSeq: 3, receivedSeq: 5 })
    expect(new FetchBackoffAbortError("why").cause).toBe("why")
    const network = new FetchError(0, undefined, undefined, {}, "http://h/s")
    expect(network).toMatchObject({ status: 0, code: "NETWORK", indeterminate: false })
    expect(new FetchError(409, "t", undefined, { "stream-closed": "true" }, "u").code).toBe(
      "STREAM_CLOSED",
    )
  })

  it("show no query and no credentials", () => {
    const shown = [
      new FetchError(500, undefined, undefined, {}, secretUrl).message,
      new StreamClosedError(secretUrl).message,
    ]
    for (const message of shown) {
      expect(message).toContain("http://h/s")
      expect(message).not.toContain("secret")
    }
  })
})

describe("errors made of answers by hand", () => {
  const response = () =>
    new Response('{"why":"x"}', {
      status: 409,
      headers: { "content-type": "application/json", "stream-closed": "true" },
    })

  it("FetchError.fromResponse", async () => {
    const error = await FetchError.fromResponse(response(), secretUrl)
    expect(error).toBeInstanceOf(FetchError)
    expect(error).toMatchObject({
      status: 409,
      code: "STREAM_CLOSED",
      json: { why: "x" },
      url: secretUrl,
    })
    expect(error.headers["stream-closed"]).toBe("true")
    expect(error.message).not.toContain("secret")
  })

  it("DurableStreamError.fromResponse and fromFetchError", async () => {
    const error = await DurableStreamError.fromResponse(response(), secretUrl)
    expect(error.constructor).toBe(DurableStreamError)
    expect(error).toMatchObject({ status: 409, code: "STREAM_CLOSED", details: { why: "x" } })
    expect(error.message).not.toContain("secret")
    const failure = await FetchError.fromResponse(response(), secretUrl)
    const plain = DurableStreamError.fromFetchError(failure)
    expect(plain.constructor).toBe(DurableStreamError)
    expect(plain).toMatchObject({ status: 409, code: "STREAM_CLOSED", cause: failure })
    const like = { message: "m", status: 404, text: "gone" }
    expect(DurableStreamError.fromFetchError(like)).toMatchObject({
      code: "NOT_FOUND",
      details: "gone",
    })
  })
})
