import fc from "fast-check"
import { expect, it } from "vitest"
import { DurableStream } from "../../src/durable-stream.ts"
import { FetchError } from "../../src/errors/fetch-error.ts"

/** What a caller gives, and how. */
const call = fc.record({
  kind: fc.constantFrom("value", "text", "bytes", "bad", "poison", "seq"),
  isPromise: fc.boolean(),
  /** After how many turns the caller gives up; undefined for never. */
  abortAfter: fc.option(fc.nat({ max: 12 }), { nil: undefined, freq: 5 }),
  /** How many turns pass before the next call. */
  pauseAfter: fc.nat({ max: 3 }),
})

/** The outcome of a request that is not at fault. */
const fate = fc.record({
  kind: fc.constantFrom("stored", "stored", "stored", "busy", "lost", "stored-and-lost", "gateway"),
  turns: fc.nat({ max: 5 }),
})

async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) await new Promise((resolve) => setImmediate(resolve))
}

/** A JSON stream that refuses requests with poison in them, and treats others as it is told. */
function startModel(fates: readonly { kind: string; turns: number }[]) {
  const stored: number[] = []
  const requests: { size: number; seq: boolean }[] = []
  const fetch: typeof globalThis.fetch = async (_url, init) => {
    const fate = fates[requests.length % Math.max(1, fates.length)] ?? { kind: "stored", turns: 0 }
    const body = init?.body
    const text = typeof body === "string" ? body : new TextDecoder().decode(body as Uint8Array)
    const messages = JSON.parse(text) as { id: number; poison?: boolean }[]
    const headers = init?.headers as Record<string, string>
    requests.push({ size: messages.length, seq: "Stream-Seq" in headers })
    await turns(fate.turns)
    if (init?.signal?.aborted === true) throw init.signal.reason
    if (messages.some(({ poison }) => poison)) return new Response(null, { status: 400 })
    if (fate.kind === "busy") return new Response(null, { status: 503 })
    if (fate.kind === "lost") throw new TypeError("fetch failed")
    if (fate.kind.startsWith("stored")) stored.push(...messages.map(({ id }) => id))
    if (fate.kind === "stored-and-lost") throw new TypeError("fetch failed")
    if (fate.kind === "gateway") return new Response(null, { status: 504 })
    return new Response(null, { status: 204, headers: { "stream-next-offset": "1" } })
  }
  return { fetch, stored, requests }
}

function bodyOf(kind: string, id: number): unknown {
  const value = { id, ...(kind === "poison" && { poison: true }) }
  if (kind === "bad") return `{"id":${id}},{"id":${id}`
  if (kind === "text") return JSON.stringify(value)
  if (kind === "bytes") return new TextEncoder().encode(JSON.stringify(value))
  return value
}

it("stores each append at most once, in order, and settles each call by its own outcome", async () => {
  const calls = fc.array(call, { minLength: 1, maxLength: 25 })
  await fc.assert(
    fc.asyncProperty(calls, fc.array(fate), fc.boolean(), async (callers, fates, batching) => {
      // Without a success among them nothing would ever come through.
      const model = startModel([...fates, { kind: "stored", turns: 0 }])
      const handle = new DurableStream({
        url: "http://server.test/s",
        contentType: "application/json",
        fetch: model.fetch,
        batching,
        backoffOptions: { initialDelay: 0.001, maxDelay: 0.001 },
      })
      const outcomes: Promise<"resolved" | FetchError | Error>[] = []
      for (const [id, { kind, isPromise, abortAfter, pauseAfter }] of callers.entries()) {
        const controller = new AbortController()
        const { signal } = controller
        const body = bodyOf(kind, id)
        const given = isPromise ? turns(id % 4).then(() => body) : body
        const options = kind === "seq" ? { seq: String(id).padStart(3, "0") } : undefined
        outcomes.push(
          handle.append(given, abortAfter === undefined ? options : { ...options, signal }).then(
            () => "resolved" as const,
            (error: unknown) => error as Error,
          ),
        )
        if (abortAfter !== undefined) {
          void turns(abortAfter).then(() => {
            controller.abort()
          })
        }
        await turns(pauseAfter)
      }
      const results = await Promise.all(outcomes)
      const { stored, requests } = model
      const unique = [...new Set(stored)].sort((a, b) => a - b)
      // Without batching nothing waits for another call, and so the order is not kept.
      expect(batching ? stored : [...stored].sort((a, b) => a - b)).toEqual(unique)
      for (const [id, result] of results.entries()) {
        const { kind } = callers[id] ?? { kind: "" }
        if (result === "resolved") expect(stored).toContain(id)
        else if (kind === "bad")
          expect(result).toHaveProperty("code", expect.stringMatching(/PARSE_ERROR|ABORTED/))
        else if (result instanceof FetchError && !result.indeterminate) {
          expect(kind).toBe("poison")
          expect(stored).not.toContain(id)
        } else
          expect(result).toHaveProperty("code", expect.stringMatching(/ABORTED|NETWORK|UNKNOWN/))
        if (kind === "bad" || kind === "poison") expect(stored).not.toContain(id)
      }
      for (const { size, seq } of requests) if (seq || !batching) expect(size).toBe(1)
    }),
    { numRuns: 150 },
  )
})
