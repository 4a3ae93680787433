import { afterAll, beforeAll, describe, expect, it } from "vitest"
import {
  createFetchWithBackoff,
  createFetchWithConsumedBody,
  DurableStream,
  IdempotentProducer,
  stream,
} from "../../src/index.ts"
import { respond, startMisbehavingServer } from "../support/misbehaving-server.ts"
import { startReferenceServer, type ReferenceServer } from "../support/reference-server.ts"
import { rejection } from "../support/rejection.ts"

let server: ReferenceServer
beforeAll(async () => {
  server = await startReferenceServer()
})
afterAll(() => server.stop())

const backoffOptions = { initialDelay: 1, maxDelay: 2 }

/** As ky and ofetch do: the error has the response, its body read. */
const throwsResponse: typeof globalThis.fetch = async (input, init) => {
  const response = await globalThis.fetch(input, init)
  if (response.ok) return response
  const data = await response.text()
  throw Object.assign(new Error("Request failed"), { name: "HTTPError", response, data })
}

const layers: [string, typeof globalThis.fetch][] = [
  ["createFetchWithBackoff", createFetchWithBackoff(globalThis.fetch, backoffOptions)],
  [
    "both wrappers",
    createFetchWithBackoff(createFetchWithConsumedBody(globalThis.fetch), backoffOptions),
  ],
  ["a layer that throws the Response", throwsResponse],
]

describe.each(layers)("a fetch that throws what is no success: %s", (_name, fetch) => {
  const json = { fetch, contentType: "application/json", backoffOptions }
  /** Of a new stream. */
  const newStream = () => DurableStream.create({ ...json, url: server.streamUrl() })

  it("tells that there is no stream", async () => {
    const url = server.streamUrl()
    expect(await DurableStream.head({ url, fetch })).toEqual({ exists: false })
    for (const ask of [
      () => stream({ url, fetch }),
      () => DurableStream.connect({ url, fetch }),
      () => DurableStream.delete({ url, fetch }),
      () => new DurableStream({ ...json, url }).append(1),
    ]) {
      expect(await rejection(ask())).toMatchObject({ code: "NOT_FOUND", status: 404 })
    }
  })

  it("tells of a conflict", async () => {
    const { url } = await newStream()
    const other = DurableStream.create({ url, fetch, contentType: "text/plain" })
    expect(await rejection(other)).toMatchObject({ code: "CONFLICT_EXISTS", status: 409 })
  })

  it("tells that the stream is closed", async () => {
    const handle = await newStream()
    const { finalOffset } = await handle.close()
    const closed = { code: "STREAM_CLOSED", finalOffset }
    expect(await rejection(handle.append(1))).toMatchObject(closed)
    const producer = new IdempotentProducer(handle, "p")
    producer.append(1)
    expect(await rejection(producer.flush())).toMatchObject(closed)
  })

  it("lets a fenced producer claim the next epoch", async () => {
    const handle = await newStream()
    await handle.append(0, { producerId: "p", producerEpoch: 5, producerSeq: 0 })
    const fenced = new IdempotentProducer(handle, "p")
    fenced.append("1")
    expect(await rejection(fenced.flush())).toMatchObject({ code: "STALE_EPOCH", currentEpoch: 5 })
    const claiming = new IdempotentProducer(handle, "p", { epoch: 0, autoClaim: true })
    claiming.append("1")
    await claiming.flush()
    expect(claiming.epoch).toBe(6)
    const response = await handle.stream({ live: false })
    expect(await response.json()).toEqual([0, 1])
  })

  it("is tried again as the policy says, and no more", async () => {
    await using busy = await startMisbehavingServer(
      respond(503, { "retry-after": "0" }),
      respond(204, { "stream-next-offset": "1" }),
      respond(502),
    )
    const handle = new DurableStream({ ...json, url: busy.url })
    await handle.append(1)
    expect(busy.requests).toHaveLength(2)
    expect(await rejection(handle.append(2))).toMatchObject({ status: 502, indeterminate: true })
    expect(busy.requests).toHaveLength(3)
  })
})

it("an append whose response breaks off in a fetch that waits for the whole of it is stored", async () => {
  await using broken = await startMisbehavingServer((_request, response) => {
    response.writeHead(200, { "stream-next-offset": "1", "content-length": "9" })
    response.write("ok", () => response.destroy())
  })
  const fetch = createFetchWithConsumedBody(globalThis.fetch)
  const handle = new DurableStream({ url: broken.url, contentType: "text/plain", fetch })
  await handle.append("x")
})

/** A layer that fails by itself behind so many responses to writes; then it does not. */
function stumbling(
  count: number,
  stumble: (response: Response) => Promise<Response>,
): typeof globalThis.fetch {
  let left = count
  return async (input, init) => {
    const response = await globalThis.fetch(input, init)
    return init?.method === "POST" && left-- > 0 ? stumble(response) : response
  }
}

/** Reads a body twice: a TypeError. */
async function readTwice(): Promise<Response> {
  const response = new Response("stored")
  await response.text()
  await response.text()
  return response
}

const stumbles: [string, (response: Response) => Promise<Response>][] = [
  ["reads the body twice", readTwice],
  // A mistake in a program, as JavaScript lets it happen.
  ["returns nothing", () => Promise.resolve(undefined as unknown as Response)],
  [
    "looks into nothing",
    (response) => Promise.reject(new TypeError(`${typeof response} is not iterable`)),
  ],
]

describe.each(stumbles)("a fetch layer that %s once a write is stored", (_name, stumble) => {
  const newStream = async (fetch: typeof globalThis.fetch) => {
    const { url } = await DurableStream.create({
      url: server.streamUrl(),
      contentType: "application/json",
    })
    return new DurableStream({ url, contentType: "application/json", fetch, backoffOptions })
  }
  const contentOf = async ({ url }: DurableStream) => {
    const response = await stream<number>({ url, live: false })
    return response.json()
  }

  it("leaves a plain append in doubt, and does not send it again", async () => {
    const handle = await newStream(stumbling(1, stumble))
    expect(await rejection(handle.append(1))).toMatchObject({
      name: "FetchError",
      code: "NETWORK",
      indeterminate: true,
    })
    expect(await contentOf(handle)).toEqual([1])
  })

  it("is overcome by a producer, which sends the batch again under its number", async () => {
    const handle = await newStream(stumbling(2, stumble))
    const producer = new IdempotentProducer(handle, "p")
    producer.append("1")
    await producer.flush()
    expect(await contentOf(handle)).toEqual([1])
  })

  it("leaves a producer's batch in doubt where it never ends", async () => {
    const handle = await newStream(stumbling(Infinity, stumble))
    const producer = new IdempotentProducer(handle, "p")
    producer.append("1")
    expect(await rejection(producer.flush())).toMatchObject({ indeterminate: true })
    expect(producer.indeterminateCount).toBe(1)
    expect(producer.undelivered()).toHaveLength(1)
    expect(await contentOf(handle)).toEqual([1])
  })
})

it("an unrecognised error of a fetch layer is retried a few times, and then surfaces", async () => {
  let calls = 0
  const fetch = () => {
    calls++
    return Promise.reject(new ReferenceError("x is not defined"))
  }
  const url = "http://server.test/s"
  const asked = [
    [() => stream({ url, fetch }), "BAD_REQUEST", 4],
    [() => DurableStream.head({ url, fetch }), "BAD_REQUEST", 3],
    [() => DurableStream.create({ url, fetch, backoffOptions }), "NETWORK", 4],
    [() => DurableStream.delete({ url, fetch, backoffOptions }), "NETWORK", 4],
  ] as const
  for (const [ask, code, count] of asked) {
    calls = 0
    const error = await rejection(ask())
    expect(error).toMatchObject({ code, cause: { message: "x is not defined" } })
    expect(calls).toBe(count)
  }
})
