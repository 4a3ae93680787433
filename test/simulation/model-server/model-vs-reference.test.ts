import { afterAll, beforeAll, expect, it, vi } from "vitest"
import { createTestServer } from "../../../src/testing/index.ts"
import { startReferenceServer, type ReferenceServer } from "../../support/reference-server.ts"
import { SeededRandom } from "../../support/seeded-random.ts"
import { endsLiveRead, lastOffset, summarize, type ResponseSummary } from "./response-summary.ts"
import { RequestSequence, type RandomRequest } from "./request-sequence.ts"

const SEQUENCES = 1000
const REQUESTS_EACH = 15
const LONG_POLL_TIMEOUT_MS = 5

interface Outcome {
  summary: ResponseSummary
  offset: string | undefined
  etag: string | undefined
}

/** One of the two servers: sends a request and remembers which offsets it has named. */
class Side {
  readonly offsets: string[] = []
  readonly #fetch: typeof fetch
  readonly #origin: string
  readonly #etags = new Map<string, string>()

  constructor(fetch: typeof globalThis.fetch, origin: string) {
    this.#fetch = fetch
    this.#origin = origin
  }

  async send(request: RandomRequest): Promise<Outcome> {
    const url = new URL(this.#origin + request.path)
    if (request.live) url.searchParams.set("live", request.live)
    if (request.offset !== undefined && request.offset !== "none") {
      const offset = this.#offset(request.offset)
      url.searchParams.set("offset", offset)
      if (request.isOffsetDouble) url.searchParams.append("offset", offset)
    }
    const headers = { ...request.headers }
    if (request.expiresInSeconds !== undefined) {
      const expires = new Date(Date.now() + request.expiresInSeconds * 1000)
      headers["stream-expires-at"] = expires.toISOString()
    }
    if (request.forkOffset !== undefined) {
      headers["stream-fork-offset"] = this.#offset(request.forkOffset)
    }
    const etag = this.#etags.get(url.pathname + url.search)
    if (request.conditional && etag && !request.live) headers["if-none-match"] = etag
    const outcome = await this.#perform(request.method, url, headers, request.body)
    if (outcome.etag) this.#etags.set(url.pathname + url.search, outcome.etag)
    return outcome
  }

  async #perform(
    method: string,
    url: URL,
    headers: Record<string, string>,
    body: string | undefined,
  ): Promise<Outcome> {
    const response = await this.#fetch(url, {
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

  #offset(offset: number | string): string {
    return typeof offset === "string" ? offset : (this.offsets[offset] ?? "-1")
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
  // Both servers have one clock, that of this process, which stands still but for what a sequence lets pass.
  vi.useFakeTimers({ toFake: ["Date"] })
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
  vi.useRealTimers()
})

async function compareSequence(seed: number): Promise<number> {
  const random = new SeededRandom(seed)
  const sequence = new RequestSequence(random, new URL(reference.streamUrl()).pathname)
  await using server = createTestServer({
    longPollTimeoutMs: LONG_POLL_TIMEOUT_MS,
    // The reference server does not know it.
    expectedOffset: false,
  })
  const model = new Side(server.fetch, server.url)
  const real = new Side(fetch, reference.url)
  const history: string[] = []
  for (let index = 0; index < REQUESTS_EACH; index++) {
    const request = index === 0 ? sequence.first() : sequence.next(model.offsets.length)
    history.push(JSON.stringify(request))
    vi.setSystemTime(Date.now() + (request.afterSeconds ?? 0) * 1000)
    const [ours, theirs] = await Promise.all([model.send(request), real.send(request)])
    const label = `seed ${seed}, request ${index}:\n${history.join("\n")}`
    expect(ours.summary, label).toEqual(theirs.summary)
    if (request.path !== sequence.path) continue
    // What is created here after a deletion or an expiry has other offsets.
    if (request.method === "DELETE" || ours.summary.status === 201) {
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

// Beside other work on the machine.
const TIMEOUT_MS = 300_000

it(
  `responds to ${SEQUENCES} random request sequences as the reference server does`,
  async () => {
    let requests = 0
    for (let seed = 1; seed <= SEQUENCES; seed++) requests += await compareSequence(seed)
    expect(requests).toBe(SEQUENCES * REQUESTS_EACH)
  },
  TIMEOUT_MS,
)
