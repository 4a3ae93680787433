import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { stream, type LiveMode, type StreamEvent, type Transport } from "../../src/index.ts"
import { startReferenceServer, type ReferenceServer } from "../support/reference-server.ts"
import { rejection } from "../support/rejection.ts"
import {
  append,
  closeStream,
  consume,
  createStream,
  GATHERING,
  METHODS,
  quick,
  Received,
  type Method,
} from "./reading-support.ts"

let server: ReferenceServer
beforeAll(async () => {
  server = await startReferenceServer({ longPollTimeout: 500 })
})
afterAll(() => server.stop())

const CONTENT = {
  "application/json": {
    stored: '[{"n":1},[2],null]',
    appended: ['"vierté 😀"', "[4,5]"],
    json: '{"n":1}\n[2]\nnull\n"vierté 😀"\n4\n5\n',
    storedJson: '{"n":1}\n[2]\nnull\n',
  },
  "text/plain; charset=utf-8": {
    stored: "erste Zeile\n zweite – 漢字 😀\n\n",
    appended: [" dritte", "\nvierte\n"],
  },
  "application/octet-stream": {
    stored: "plain ASCII, so that bytes compare as text",
    appended: [" and more", " and the rest"],
  },
} as const
type ContentType = keyof typeof CONTENT

const contentTypes = Object.keys(CONTENT) as ContentType[]
const liveModes: LiveMode[] = [true, false, "long-poll", "sse"]

function methodsOf(contentType: ContentType): Method[] {
  const isJson = contentType === "application/json"
  return [...(isJson ? METHODS.json : []), ...METHODS.text, ...METHODS.bytes]
}

function liveTransport(contentType: ContentType, live: LiveMode): Transport | undefined {
  if (live === true) return contentType.startsWith("application/json") ? "sse" : "long-poll"
  return live === false ? undefined : live
}

/** What a method is to give of the content, whose JSON pages bytes and text show as they are framed. */
function expected(contentType: ContentType, method: Method, whole: boolean): string | RegExp {
  const content = CONTENT[contentType]
  if (METHODS.json.some((name) => name === method) && "json" in content) {
    return whole ? content.json : content.storedJson
  }
  if ("json" in content) return whole ? /^\[.*null\].*vierté 😀.*5.*\]$/s : /^\[.*null\]$/s
  return whole ? content.stored + content.appended.join("") : content.stored
}

function check(content: string, wanted: string | RegExp): void {
  if (typeof wanted === "string") expect(content).toBe(wanted)
  else expect(content).toMatch(wanted)
}

describe.each(contentTypes)("%s", (contentType) => {
  describe.each(liveModes)("live: %s", (live) => {
    it.each(methodsOf(contentType))(
      "%s gives what is stored, then what is appended",
      async (method) => {
        const url = server.streamUrl()
        const { stored, appended } = CONTENT[contentType]
        await createStream(url, contentType, stored)
        const events: StreamEvent[] = []
        const response = await stream({
          ...quick,
          url,
          live,
          observe: (event) => events.push(event),
        })
        const received = new Received()
        const done = consume(response, method, received)
        if (live === false || GATHERING.has(method)) {
          check(await done, expected(contentType, method, false))
          expect(response).toMatchObject({ upToDate: true, streamClosed: false })
          expect(events.at(-1)).toEqual({ kind: "end", reason: "up-to-date" })
        } else {
          for (const part of appended) await append(url, contentType, part)
          await closeStream(url)
          check(await done, expected(contentType, method, true))
          expect(response).toMatchObject({ upToDate: true, streamClosed: true })
          expect(events.at(-1)).toEqual({ kind: "end", reason: "eof" })
          const requests = events.filter((event) => event.kind === "request")
          expect(requests[0]?.transport).toBe("catch-up")
          // Lines of text that come by SSE are read again by others.
          const first = requests.find(({ transport }) => transport !== "catch-up")
          expect(first?.transport).toBe(liveTransport(contentType, live))
        }
        await response.closed
      },
    )
  })
})

describe("where a read starts", () => {
  it.each<LiveMode>([true, "long-poll", "sse"])(
    "now skips what is stored (live: %s)",
    async (live) => {
      const url = server.streamUrl()
      await createStream(url, "application/json", '["stored"]')
      const response = await stream({ ...quick, url, live, offset: "now" })
      expect(response.startOffset).toBe("now")
      const done = consume(response, "subscribeJson")
      await append(url, "application/json", '"new"')
      await closeStream(url)
      expect(await done).toBe('"new"\n')
    },
  )

  it.each<LiveMode>([true, false, "long-poll", "sse"])(
    "now on a closed stream is its end at once (live: %s)",
    async (live) => {
      const url = server.streamUrl()
      await createStream(url, "application/json", '["stored"]')
      await closeStream(url)
      const response = await stream({ ...quick, url, live, offset: "now" })
      expect(await consume(response, "jsonBatches")).toBe("")
      expect(response.streamClosed).toBe(true)
    },
  )

  it("a stored offset resumes behind it", async () => {
    const url = server.streamUrl()
    await createStream(url, "application/json", '["first"]')
    const first = await stream({ ...quick, url, live: false })
    await first.json()
    await append(url, "application/json", '"second"')
    const second = await stream({ ...quick, url, live: false, offset: first.offset })
    expect(await second.json()).toEqual(["second"])
  })

  it("an empty stream that is closed is an end without content, for every method", async () => {
    const url = server.streamUrl()
    await createStream(url, "application/json")
    await closeStream(url)
    for (const method of METHODS.json) {
      expect(await consume(await stream({ ...quick, url }), method)).toBe("")
    }
  })
})

describe("iterating over a response", () => {
  it.each(contentTypes)("delivers the batches that fit %s", async (contentType) => {
    const url = server.streamUrl()
    await createStream(url, contentType, CONTENT[contentType].stored)
    const response = await stream({ ...quick, url, live: false })
    const received = new Received()
    const keys = new Set<string>()
    for await (const batch of response) {
      received.add(batch)
      for (const key of Object.keys(batch)) keys.add(key)
    }
    const method = contentType === "application/json" ? "json" : "text"
    check(received.content, expected(contentType, method, false))
    const content = { "application/json": "items", "application/octet-stream": "data" } as const
    expect([...keys]).toContain(content[contentType as keyof typeof content] ?? "text")
  })

  it("is a consumption, and delivers messages if json is true", async () => {
    const url = server.streamUrl()
    await createStream(url, "text/plain", "[1,2]")
    const response = await stream<number>({ ...quick, url, live: false, json: true })
    for await (const batch of response) expect(batch).toMatchObject({ items: [1, 2] })
    expect(() => response.textChunks()).toThrow(
      expect.objectContaining({ code: "ALREADY_CONSUMED" }),
    )
  })
})

describe("what a response says of itself", () => {
  it("before anything is consumed: the first response, and nothing delivered", async () => {
    const url = server.streamUrl()
    await createStream(url, "Application/JSON; charset=utf-8", "[1]")
    const response = await stream({ ...quick, url: new URL(url) })
    expect(response).toMatchObject({
      url,
      live: true,
      startOffset: "-1",
      offset: "-1",
      upToDate: false,
      streamClosed: false,
      cursor: undefined,
      status: 200,
      statusText: "OK",
      ok: true,
      isLoading: false,
    })
    expect(response.contentType?.toLowerCase()).toContain("application/json")
    expect(response.headers.get("stream-next-offset")).not.toBeNull()
    response.cancel()
    await response.closed
  })

  it("one consumption method a response, whichever comes second", async () => {
    const url = server.streamUrl()
    await createStream(url, "application/json", "[1]")
    const all: Method[] = [...METHODS.json, ...METHODS.text, ...METHODS.bytes]
    for (const method of all) {
      const response = await stream({ ...quick, url, live: false })
      response.jsonStream()
      const error = await rejection(consume(response, method))
      expect(error).toMatchObject({ name: "DurableStreamError", code: "ALREADY_CONSUMED" })
      response.cancel()
    }
  })

  it("subscriptions and streams throw at once what they cannot do, gathering rejects with it", async () => {
    const url = server.streamUrl()
    await createStream(url, "text/plain", "text")
    const response = await stream({ ...quick, url, live: false })
    const refused = expect.objectContaining({ code: "BAD_REQUEST" })
    expect(() => response.subscribeJson(() => undefined)).toThrow(refused)
    expect(() => response.jsonStream()).toThrow(refused)
    expect(() => response.jsonBatches()).toThrow(refused)
    await expect(response.json()).rejects.toEqual(refused)
    // @ts-expect-error -- what a JavaScript caller can do
    expect(() => response.subscribeText("no function")).toThrow(refused)
    // None of these was a consumption.
    expect(await response.text()).toBe("text")
  })

  it("json: true reads JSON whatever the content type says", async () => {
    const url = server.streamUrl()
    await createStream(url, "text/plain", '[{"n":1}]')
    const response = await stream<{ n: number }>({ ...quick, url, live: false, json: true })
    expect(await response.json()).toEqual([{ n: 1 }])
  })
})
