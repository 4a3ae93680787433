import { describe, expect, it } from "vitest"
import { stream } from "../../../src/stream.ts"

/** A stream of three pages, and the signals of the requests for them. */
async function open(readAhead: number) {
  const signals: AbortSignal[] = []
  const fetch = (url: string | URL | Request, init?: RequestInit) => {
    if (init?.signal) signals.push(init.signal)
    const offset = new URL(String(url)).searchParams.get("offset") ?? ""
    const index = offset === "-1" ? 0 : Number(offset)
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        controller.enqueue(new TextEncoder().encode("abc"))
        controller.enqueue(new TextEncoder().encode("def"))
        controller.close()
      },
    })
    const headers = {
      "Stream-Next-Offset": String(index + 1),
      ...(index === 2 && { "Stream-Closed": "true" }),
    }
    return Promise.resolve(new Response(body, { headers }))
  }
  const response = await stream({ url: "http://stream.test/s", fetch, readAhead })
  return { response, aborted: () => signals.map(({ aborted }) => aborted) }
}

describe("the signal of a read request", () => {
  it.each([0, 1])(
    "is not aborted where its response was read (readAhead %i)",
    async (readAhead) => {
      const { response, aborted } = await open(readAhead)
      expect(await response.text()).toBe("abcdefabcdefabcdef")
      expect(aborted()).toEqual([false, false, false])
    },
  )

  it("is aborted where its response is left before its end", async () => {
    const { response, aborted } = await open(0)
    let parts = 0
    for await (const part of response.bodyStream()) if (part.byteLength > 0 && ++parts === 3) break
    await response.closed
    expect(aborted()).toEqual([false, true])
  })

  it("is aborted where it was made ahead and nobody wants it", async () => {
    const { response, aborted } = await open(1)
    for await (const part of response.bodyStream()) if (part.byteLength > 0) break
    await response.closed
    expect(aborted()).toEqual([true, true])
  })
})
