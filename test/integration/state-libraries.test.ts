import { reactive, ref, shallowReactive } from "@vue/reactivity"
import { proxy, snapshot } from "valtio/vanilla"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { DurableStream, IdempotentProducer, type StreamResponse } from "../../src/index.ts"
import { startReferenceServer, type ReferenceServer } from "../support/reference-server.ts"

/** What a program may keep in its state. */
interface Kept {
  handle: DurableStream
  producer: IdempotentProducer
  response: StreamResponse<number>
}

const libraries: Readonly<Record<string, (kept: Kept) => Kept>> = {
  "Vue's reactive()": (kept) => reactive({ ...kept }) as Kept,
  "Vue's reactive(), nested": (kept) => reactive({ deep: [{ ...kept }] }).deep[0] as Kept,
  "Vue's ref()": ({ handle, producer, response }) => ({
    handle: ref(handle).value as DurableStream,
    producer: ref(producer).value as IdempotentProducer,
    response: ref(response).value,
  }),
  "Vue's shallowReactive()": (kept) => shallowReactive({ ...kept }),
  "valtio's proxy()": (kept) => proxy({ ...kept }),
  "valtio's proxy(), nested": (kept) => proxy({ deep: [{ ...kept }] }).deep[0]!,
  "valtio's snapshot()": (kept) => snapshot(proxy({ ...kept })) as Kept,
}

let server: ReferenceServer
beforeAll(async () => {
  server = await startReferenceServer({ longPollTimeout: 500 })
})
afterAll(() => server.stop())

describe.each(Object.entries(libraries))("What is kept in %s", (_name, keep) => {
  it("works, although private members do not exist on a proxy", async () => {
    const url = server.streamUrl()
    const created = await DurableStream.create({ url, contentType: "application/json" })
    const { handle, producer, response } = keep({
      handle: created,
      producer: new IdempotentProducer(created, "kept"),
      response: await created.stream<number>(),
    })
    await handle.append(1)
    expect(handle.contentType).toBe("application/json")
    await producer.send(2)
    expect(producer.pendingCount).toBe(0)
    const items: number[] = []
    response.subscribeJson((batch) => void items.push(...batch.items))
    await producer.close(3)
    await response.closed
    expect(items).toEqual([1, 2, 3])
    expect(response.streamClosed).toBe(true)
  })
})

describe("The classes", () => {
  it("are compared by tests and printed as before", async () => {
    const handle = new DurableStream({ url: server.streamUrl() })
    const producer = new IdempotentProducer(handle, "compared")
    expect(handle).toEqual(handle)
    expect(handle).not.toBe(new DurableStream({ url: handle.url }))
    expect(`${String(handle)} ${String(producer)}`).toBe(
      "[object DurableStream] [object IdempotentProducer]",
    )
    for (const object of [handle, producer]) {
      // @ts-expect-error neither is iterable
      expect(() => [...object]).toThrow(TypeError)
    }
  })
})
