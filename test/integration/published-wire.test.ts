import { afterAll, beforeAll, describe, expect, it } from "vitest"
// The published client, run as a program would.
import * as published from "../../node_modules/@durable-streams/client/dist/index.js"
import * as ours from "../../src/index.ts"
import { startReferenceServer, type ReferenceServer } from "../support/reference-server.ts"

/** What a program of 0.2.x does with a stream; `fetch` is for what is to be compared. */
type Program = (client: typeof published, url: string, fetch: typeof globalThis.fetch) => unknown

let server: ReferenceServer
beforeAll(async () => void (server = await startReferenceServer()))
afterAll(() => server.stop())

/** The requests of a program, one a line: method, query, headers, body. Offsets, cursors and random ids by kind. */
async function requestsOf(program: Program, client: typeof published): Promise<string[]> {
  const requests: string[] = []
  const fetch: typeof globalThis.fetch = (input, init = {}) => {
    const headers = Object.entries(init.headers ?? {})
      .map(([name, value]) => `${name.toLowerCase()}=${value}`)
      .sort()
    const body =
      init.body instanceof Uint8Array ? new TextDecoder().decode(init.body) : (init.body ?? "")
    const query = new URL(String(input)).search
    requests.push(
      [init.method ?? "GET", query, ...headers, typeof body === "string" ? body : "(streamed)"]
        .filter((part) => part !== "")
        .join(" ")
        .replaceAll(/\d{16}_\d{16}/g, "OFFSET")
        .replace(/close-[0-9a-f]{32}/, "RANDOM")
        .replace(/producer-epoch=\d{16}/, "producer-epoch=FRESH"),
    )
    return globalThis.fetch(input, init)
  }
  await program(client, server.streamUrl(), fetch)
  return requests
}

const JSON_TYPE = { contentType: "application/json" }

/** Makes a stream of JSON that has one message, by a `fetch` that is not compared. */
async function createJson(client: typeof published, url: string) {
  const handle = await client.DurableStream.create({ url, ...JSON_TYPE })
  await handle.append("1")
  return handle
}

/** Reads a stream until a message that is appended during the read. */
async function readLive(
  client: typeof published,
  options: { url: string; fetch: typeof globalThis.fetch; live: boolean | "sse" | "long-poll" },
): Promise<void> {
  const handle = await createJson(client, options.url)
  const response = await client.stream<number>(options)
  await new Promise<void>((resolve) => {
    response.subscribeJson(({ items }) => {
      if (items.includes(2)) resolve()
      else void handle.append("2")
    })
  })
  response.cancel()
}

const same: Record<string, Program> = {
  "a create": ({ DurableStream }, url, fetch) =>
    DurableStream.create({ url, fetch, ...JSON_TYPE, ttlSeconds: 60 }),
  "a create without a content type": ({ DurableStream }, url, fetch) =>
    DurableStream.create({ url, fetch }),
  "a create with a body": ({ DurableStream }, url, fetch) =>
    DurableStream.create({ url, fetch, contentType: "text/plain", body: "x" }),
  appends: async ({ DurableStream }, url, fetch) => {
    const handle = await DurableStream.create({ url, fetch, ...JSON_TYPE })
    await handle.append('{"a":1}')
    await handle.append("[1]", { seq: "1" })
  },
  "a streamed append": async ({ DurableStream }, url, fetch) => {
    const handle = await DurableStream.create({ url, fetch, contentType: "text/plain" })
    await handle.appendStream(new Blob(["abc"]).stream())
  },
  "head, connect and delete": async (client, url, fetch) => {
    await createJson(client, url)
    await client.DurableStream.head({ url, fetch })
    await client.DurableStream.connect({ url, fetch })
    await client.DurableStream.delete({ url, fetch })
  },
  "a read": async (client, url, fetch) => {
    await createJson(client, url)
    await (await client.stream({ url, fetch, headers: { x: "y" }, live: false })).json()
  },
  "closes without a body": async (client, url, fetch) => {
    await createJson(client, url)
    await new client.DurableStream({ url, fetch, ...JSON_TYPE }).close()
    await createJson(client, `${url}-2`)
    await new client.DurableStream({ url: `${url}-2`, fetch }).close()
  },
  "a producer with an epoch, or with none": async (
    { DurableStream, IdempotentProducer },
    url,
    fetch,
  ) => {
    const handle = await DurableStream.create({ url, fetch, ...JSON_TYPE })
    for (const epoch of [undefined, 7]) {
      const producer = new IdempotentProducer(handle, "p", {
        fetch,
        ...(epoch === undefined ? {} : { epoch }),
      })
      for (const message of ["1", "2"]) {
        producer.append(message)
        await producer.flush()
      }
      if (epoch !== undefined) await producer.close("3")
    }
  },
}

/** Ours and those of 0.2.x, as docs/migrating.md lists them. */
const different: Record<string, [program: Program, ours: string[], published: string[]]> = {
  "live: true reads JSON over SSE, which it accepts by a header": [
    (client, url, fetch) => readLive(client, { url, fetch, live: true }),
    ["GET ?offset=-1", "GET ?live=sse&offset=OFFSET accept=text/event-stream"],
    ["GET ?offset=-1", "GET ?offset=OFFSET&live=long-poll"],
  ],
  "queries are sorted": [
    async (client, url, fetch) => {
      await createJson(client, url)
      await (await client.stream({ url, fetch, params: { z: "1", b: "2" }, live: false })).json()
    },
    ["GET ?b=2&offset=-1&z=1"],
    ["GET ?offset=-1&z=1&b=2"],
  ],
  "a close with a body has producer headers": [
    async (client, url, fetch) => {
      await createJson(client, url)
      await new client.DurableStream({ url, fetch, ...JSON_TYPE }).close({ body: "2" })
    },
    [
      "POST content-type=application/json producer-epoch=0 producer-id=RANDOM producer-seq=0 stream-closed=true [2]",
    ],
    ["POST content-type=application/json stream-closed=true [2]"],
  ],
  "autoClaim starts with a fresh epoch": [
    async (client, url, fetch) => {
      await createJson(client, url)
      const handle = new client.DurableStream({ url, ...JSON_TYPE })
      const producer = new client.IdempotentProducer(handle, "p", { fetch, autoClaim: true })
      producer.append("2")
      await producer.flush()
    },
    ["POST content-type=application/json producer-epoch=FRESH producer-id=p producer-seq=0 [2]"],
    ["POST content-type=application/json producer-epoch=0 producer-id=p producer-seq=0 [2]"],
  ],
  "a producer that does not know the content type asks by HEAD": [
    async (client, url, fetch) => {
      const contentType = "application/octet-stream"
      await client.DurableStream.create({ url, contentType })
      const handle = new client.DurableStream({ url })
      const producer = new client.IdempotentProducer(handle, "p", { fetch })
      producer.append("2")
      await producer.flush()
    },
    [
      "HEAD",
      "POST content-type=application/octet-stream producer-epoch=0 producer-id=p producer-seq=0 2",
    ],
    ["POST content-type=application/octet-stream producer-epoch=0 producer-id=p producer-seq=0 2"],
  ],
}

// A program of 0.2.x compiles with both: test/types/published.test-d.ts.
const client = ours as unknown as typeof published

describe("the requests that 0.2.x makes", () => {
  it.each(Object.entries(same))("are the same: %s", async (_name, program) => {
    expect(await requestsOf(program, client)).toEqual(await requestsOf(program, published))
  })

  it.each(Object.entries(different))(
    "differ as the guide says: %s",
    async (_name, [program, now, before]) => {
      // A long-poll that is requested ahead, or once more, depends on when the message comes.
      expect((await requestsOf(program, client)).slice(0, now.length)).toEqual(now)
      expect((await requestsOf(program, published)).slice(0, before.length)).toEqual(before)
    },
  )
})
