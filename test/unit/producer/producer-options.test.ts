import { describe, expect, it } from "vitest"
import { DurableStream, DurableStreamError, IdempotentProducer } from "../../../src/index.ts"
import { endpointSymbol } from "../../../src/http/endpoint.ts"
import type { IdempotentProducerOptions } from "../../../src/index.ts"

const stream = new DurableStream({ url: "http://desk.test/stream", contentType: "text/plain" })

function errorOf(make: () => unknown): DurableStreamError {
  try {
    make()
  } catch (error) {
    if (error instanceof DurableStreamError) return error
  }
  throw new Error("Nothing was thrown, or no DurableStreamError")
}

describe("the options of a producer", () => {
  it.each<[keyof IdempotentProducerOptions, unknown[]]>([
    ["epoch", [-1, 1.5, Number.NaN, 2 ** 53, "1"]],
    ["autoClaim", ["yes", 1]],
    ["maxBatchBytes", [0, -1, 1.5, Number.NaN, Infinity, "1000"]],
    ["maxBatchItems", [0, -1, 1.5, Number.NaN, "10"]],
    ["lingerMs", [-1, Number.NaN, Infinity, 2 ** 31, "5"]],
    ["maxInFlight", [0, 1.5, Infinity, Number.NaN]],
    ["deliveryTimeoutMs", [0, -1, Number.NaN, "1000"]],
    ["highWaterMarkBytes", [-1, Number.NaN, "16"]],
    ["maxBufferedBytes", [0, -1, Number.NaN]],
    ["onError", ["log"]],
    ["observe", ["log"]],
    ["schema", ["order"]],
    ["headers", [{ "bad name": "x" }]],
    ["backoffOptions", [{ initialDelay: -1 }]],
  ])("%s out of range is named with its value", (option, values) => {
    for (const value of values) {
      const error = errorOf(() => new IdempotentProducer(stream, "p", { [option]: value }))
      expect(error.code).toBe("BAD_REQUEST")
      if (option === "headers") continue
      const path = option === "backoffOptions" ? "initialDelay" : option
      expect(error.message).toContain(path)
      const shown = option === "backoffOptions" ? -1 : value
      expect(error.message).toContain(String(shown))
    }
  })

  it("takes the ends of every range", () => {
    const widest = {
      deliveryTimeoutMs: Infinity,
      highWaterMarkBytes: Infinity,
      maxBufferedBytes: Infinity,
    }
    const options = [
      {
        epoch: 0,
        maxBatchBytes: 1,
        lingerMs: 0,
        maxInFlight: 1,
        deliveryTimeoutMs: 1,
        highWaterMarkBytes: 0,
      },
      { epoch: Number.MAX_SAFE_INTEGER, ...widest },
      { maxBufferedBytes: 1 },
    ]
    for (const each of options)
      expect(() => new IdempotentProducer(stream, "p", each)).not.toThrow()
  })

  it.each<[unknown, string]>([
    ["", "empty"],
    ["   ", "blank"],
    ["a\nb", "two lines"],
    ["漢", "no Latin-1"],
    [7, "a number"],
  ])("a producerId that no header carries is refused: %j (%s)", (producerId) => {
    const error = errorOf(() => new IdempotentProducer(stream, producerId as string))
    expect(error).toMatchObject({ code: "BAD_REQUEST" })
    expect(error.message).toContain("producerId")
  })

  it("a signal that is none is refused", () => {
    const signal = {} as AbortSignal
    expect(errorOf(() => new IdempotentProducer(stream, "p", { signal })).message).toContain(
      "signal",
    )
  })

  it.each([undefined, null, "http://desk.test/stream", {}, new URL("http://desk.test/")])(
    "a stream that is no handle is refused: %s",
    (notAHandle) => {
      const error = errorOf(() => new IdempotentProducer(notAHandle as DurableStream, "p"))
      expect(error).toMatchObject({ code: "BAD_REQUEST" })
      expect(error.message).toContain("stream")
    },
  )

  it("takes the handle of another copy of the package", () => {
    const fromAnotherCopy = {
      contentType: "text/plain",
      [Symbol.for("@durable-streams/client.endpoint")]: (stream as never)[endpointSymbol],
    }
    const handle = fromAnotherCopy as unknown as DurableStream
    expect(new IdempotentProducer(handle, "p").state).toBe("open")
  })
})
