import { afterAll, beforeAll, expect, it, vi } from "vitest"
import type { ModelResponse, ModelClock } from "../../../src/testing/messages.ts"
import { ModelServer } from "../../../src/testing/server.ts"
import { startReferenceServer, type ReferenceServer } from "../../support/reference-server.ts"
import { SeededRandom } from "../../support/seeded-random.ts"
import {
  collectLive,
  endsLiveRead,
  lastOffset,
  summarize,
  type ResponseSummary,
} from "./response-summary.ts"
import { RequestSequence, type RandomRequest } from "./request-sequence.ts"

const SEQUENCES = 1000
const REQUESTS_EACH = 15
const LONG_POLL_TIMEOUT_MS = 5

const realClock: ModelClock = {
  now: () => Date.now(),
  after: (delayMs, callback) => {
    const timer = setTimeout(callback, delayMs)
    return () => clearTimeout(timer)
  },
}

interface Outcome {
  summary: ResponseSummary
  offset: string | undefined
  etag: string | undefined
}

/** One of the two servers: sends a request and remembers which offsets it has named. */
abstract class Side {
  readonly offsets: string[] = []
  readonly #etags = new Map<string, string>()

  async send(request: RandomRequest): Promise<Outcome> {
    const url = new URL(`http://model.test${request.path}`)
    if (request.live) url.searchParams.set("live", request.live)
    if (request.offset !== undefined && request.offset !== "none") {
      url.searchParams.set("offset", this.#offset(request.offset))
    }
    const headers = { ...request.headers }
    if (request.forkOffset !== undefined) {
      headers["stream-fork-offset"] = this.#offset(request.forkOffset)
    }
    const etag = this.#etags.get(url.pathname + url.search)
    if (request.conditional && etag && !request.live) headers["if-none-match"] = etag
    const outcome = await this.perform(request.method, url, headers, request.body)
    if (outcome.etag) this.#etags.set(url.pathname + url.search, outcome.etag)
    return outcome
  }

  protected abstract perform(
    method: string,
    url: URL,
    headers: Record<string, string>,
    body: string | undefined,
  ): Promise<Outcome>

  #offset(offset: number | string): string {
    return typeof offset === "string" ? offset : (this.offsets[offset] ?? "-1")
  }
}

class ModelSide extends Side {
  readonly #model = new ModelServer(realClock, { longPollTimeoutMs: LONG_POLL_TIMEOUT_MS })

  protected override async perform(
    method: string,
    url: URL,
    headers: Record<string, string>,
    body: string | undefined,
  ): Promise<Outcome> {
    const response: ModelResponse = await this.#model.handle({
      method,
      url,
      headers: new Map(Object.entries(headers)),
      body: new TextEncoder().encode(body ?? ""),
    })
    const header = (name: string): string | undefined => response.headers[name]
    const bytes = await collectLive(response)
    return {
      summary: summarize(response.status, header, bytes),
      offset: lastOffset(header("stream-next-offset"), bytes),
      etag: header("etag"),
    }
  }
}

class ReferenceSide extends Side {
  readonly #url: string

  constructor(url: string) {
    super()
    this.#url = url
  }

  protected override async perform(
    method: string,
    url: URL,
    headers: Record<string, string>,
    body: string | undefined,
  ): Promise<Outcome> {
    const response = await fetch(this.#url + url.pathname + url.search, {
      method,
      headers,
      ...(method === "POST" || method === "PUT"
        ? { body: new TextEncoder().encode(body ?? "") }
        : {}),
    })
    const header = (name: string): string | undefined => response.headers.get(name) ?? undefined
    const bytes = await readUntilLiveEnd(response)
    return {
      summary: summarize(response.status, header, bytes),
      offset: lastOffset(header("stream-next-offset"), bytes),
      etag: header("etag"),
    }
  }
}

async function readUntilLiveEnd(response: Response): Promise<Uint8Array> {
  let text = ""
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true })
  for await (const chunk of response.body ?? []) {
    text += decoder.decode(chunk, { stream: true })
    const isLive = response.headers.get("content-type") === "text/event-stream"
    if (isLive && endsLiveRead(text)) break
  }
  return new TextEncoder().encode(text)
}

let reference: ReferenceServer

beforeAll(async () => {
  // The reference server prints an error for every event stream that its reader leaves.
  vi.spyOn(console, "error").mockImplementation(() => undefined)
  reference = await startReferenceServer({
    longPollTimeout: LONG_POLL_TIMEOUT_MS,
    compression: false,
  })
})

afterAll(async () => {
  await reference.stop()
  vi.restoreAllMocks()
})

async function compareSequence(seed: number): Promise<number> {
  const random = new SeededRandom(seed)
  const sequence = new RequestSequence(random, new URL(reference.streamUrl()).pathname)
  const model = new ModelSide()
  const real = new ReferenceSide(reference.url)
  const history: string[] = []
  for (let index = 0; index < REQUESTS_EACH; index++) {
    const request = index === 0 ? sequence.first() : sequence.next(model.offsets.length)
    history.push(JSON.stringify(request))
    const [ours, theirs] = await Promise.all([model.send(request), real.send(request)])
    const label = `seed ${seed}, request ${index}:\n${history.join("\n")}`
    expect(ours.summary, label).toEqual(theirs.summary)
    if (request.path !== sequence.path) continue
    if (request.method === "DELETE") {
      model.offsets.length = 0
      real.offsets.length = 0
    }
    if (ours.offset === undefined || theirs.offset === undefined) continue
    // The same position must have the same name every time, on both sides.
    const known = model.offsets.indexOf(ours.offset)
    expect(real.offsets.indexOf(theirs.offset), label).toBe(known)
    if (known >= 0) continue
    model.offsets.push(ours.offset)
    real.offsets.push(theirs.offset)
  }
  return history.length
}

it(`responds to ${SEQUENCES} random request sequences as the reference server does`, async () => {
  let requests = 0
  for (let seed = 1; seed <= SEQUENCES; seed++) requests += await compareSequence(seed)
  expect(requests).toBe(SEQUENCES * REQUESTS_EACH)
})
