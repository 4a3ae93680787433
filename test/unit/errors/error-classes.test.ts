import { inspect } from "node:util"
import { describe, expect, it, vi } from "vitest"
import {
  DurableStreamError,
  isDurableStreamError,
} from "../../../src/errors/durable-stream-error.ts"
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

describe("errors made of responses by hand", () => {
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

describe("a response by hand that has less than the platform's", () => {
  it("makes an error of a fake with json() alone", async () => {
    const fake = { ok: false, status: 404, json: () => Promise.resolve({ why: "x" }) } as Response
    const error = await FetchError.fromResponse(fake, "http://h/s")
    expect(error).toMatchObject({ status: 404, code: "NOT_FOUND", json: { why: "x" }, headers: {} })
    const plain = await DurableStreamError.fromResponse(fake, "http://h/s")
    expect(plain).toMatchObject({ status: 404, code: "NOT_FOUND", details: { why: "x" } })
    const broken = { status: 500, text: () => Promise.reject(new Error("read twice")) } as Response
    expect(await FetchError.fromResponse(broken, "http://h/s")).toMatchObject({ status: 500 })
  })
})

describe("errors in logs and on the way to other threads", () => {
  const headers = Object.fromEntries(
    Array.from({ length: 30 }, (_, i) => [`x-header-${i}`, "secret"]),
  )
  const error = new FetchError(
    503,
    "<p>secret</p>",
    undefined,
    headers,
    "http://h/s",
    "Busy: http://h/s",
    {
      indeterminate: true,
    },
  )

  it("give what is needed as JSON, and no headers", () => {
    expect(JSON.parse(JSON.stringify(error))).toEqual({
      name: "FetchError",
      message: "Busy: http://h/s",
      code: "BUSY",
      status: 503,
      url: "http://h/s",
      indeterminate: true,
    })
    expect(JSON.parse(JSON.stringify(new StaleEpochError(7)))).toMatchObject({
      code: "STALE_EPOCH",
      currentEpoch: 7,
    })
  })

  it("show what is needed on the console, and no headers", () => {
    const shown = inspect(error)
    for (const part of ["FetchError", "Busy: http://h/s", "BUSY", "503", "indeterminate: true"]) {
      expect(shown).toContain(part)
    }
    expect(shown).not.toMatch(/x-header|secret|Symbol/)
  })

  it("can be posted, message and all", () => {
    for (const posted of [
      error,
      new FetchBackoffAbortError(new Error("why")),
      new StaleEpochError(7),
    ]) {
      expect(structuredClone(posted)).toMatchObject({ message: posted.message })
    }
  })

  it("keep headers and text for the program", () => {
    expect(error.headers).toBe(headers)
    expect(error).toMatchObject({ text: "<p>secret</p>", details: "<p>secret</p>" })
  })
})

describe("errors of another copy of the package", () => {
  it("are recognised by instanceof and by isDurableStreamError", async () => {
    vi.resetModules()
    const other = await import("../../../src/index.ts")
    expect(other.DurableStreamError).not.toBe(DurableStreamError)
    const errors: [new (...args: never) => Error, Error][] = [
      [FetchError, new other.FetchError(404, "", undefined, {}, "u")],
      [StreamClosedError, new other.StreamClosedError()],
      [StaleEpochError, new other.StaleEpochError(1)],
      [SequenceGapError, new other.SequenceGapError(1, 2)],
      [MissingStreamUrlError, new other.MissingStreamUrlError()],
      [InvalidSignalError, new other.InvalidSignalError()],
      [FetchBackoffAbortError, new other.FetchBackoffAbortError()],
    ]
    for (const [Class, error] of errors) {
      expect(error).toBeInstanceOf(Class)
      expect(error).toBeInstanceOf(DurableStreamError)
      expect(isDurableStreamError(error)).toBe(true)
      for (const [Other] of errors) expect(error instanceof Other).toBe(Other === Class)
    }
    expect(new other.DurableStreamError("m", "BUSY")).not.toBeInstanceOf(FetchError)
  })

  it("are not confused with other errors, nor with classes that extend ours", () => {
    class MyError extends FetchError {}
    expect(new FetchError(404, "", undefined, {}, "u")).not.toBeInstanceOf(MyError)
    expect(new MyError(404, "", undefined, {}, "u")).toBeInstanceOf(FetchError)
    const named = Object.assign(new Error("m"), { name: "FetchError", status: 404 })
    for (const value of [named, null, undefined, "FetchError", {}]) {
      expect(value instanceof FetchError).toBe(false)
      expect(isDurableStreamError(value)).toBe(false)
    }
  })
})
