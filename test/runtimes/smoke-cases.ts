import type * as Client from "../../src/index.ts"
import type * as Subscriptions from "../../src/subscriptions/index.ts"

/** What a case runs with. */
export interface SmokeContext {
  /** The client as the runtime loaded it. */
  readonly client: typeof Client
  /** Missing where no webhooks are received: in browsers. */
  readonly subscriptions: typeof Subscriptions | undefined
  /** A stream url that no other case uses, and what its server does to it. */
  streamUrl(fault?: SmokeFault): string
}

/** `loses-response`: the first POST is stored and its response lost. `unreachable`: every connection is reset. */
export type SmokeFault = "loses-response" | "unreachable"

/** What became of one case. */
export interface SmokeResult {
  readonly name: string
  /** Why it failed; missing where it did not. */
  readonly failure?: string
}

interface Message {
  readonly n: number
}

type SmokeCase = (context: SmokeContext) => Promise<void>

/**
 * What has to work wherever the package is loaded. Written with the language and the package alone, so that every
 * runtime runs it as it is; a case fails by throwing.
 */
export const smokeCases: Readonly<Record<string, SmokeCase>> = {
  "verifies a webhook, handles it and ends it by the callback": async ({ subscriptions }) => {
    // Node 18 has no WebCrypto.
    if (subscriptions === undefined) return
    if (typeof (globalThis.crypto as Crypto | undefined)?.subtle === "undefined") return
    const { send, seen, callbacks } = await webhook(subscriptions)
    same(await send((body) => body), 204)
    same(seen, [{ n: 1 }])
    same(callbacks.at(-1), '{"wake_id":"w","generation":1,"acks":[],"done":true}')
    same(await send((body) => body.replace('"w"', '"x"')), 401)
    same(seen.length, 1)
  },

  "creates, appends, reads and finds out": async ({ client, streamUrl }) => {
    const handle = await createJson(client, streamUrl())
    await handle.append({ n: 1 })
    const { offset = "" } = await handle.head()
    await Promise.all([handle.append({ n: 2 }), handle.append({ n: 3 })])
    const response = await client.stream<Message>({ url: handle.url, live: false })
    same(numbers(await response.json()), [1, 2, 3])
    const rest = await client.stream<Message>({ url: handle.url, offset, live: false })
    same(numbers(await rest.json()), [2, 3])
    const head = await handle.head()
    same(head.exists && head.offset, response.offset)
  },

  "tails JSON over SSE to the end of the stream": async ({ client, streamUrl }) => {
    const handle = await createJson(client, streamUrl())
    await handle.append({ n: 1 })
    const transports = new Set<string>()
    const response = await client.stream<Message>({
      url: handle.url,
      live: "sse",
      observe: (event) => event.kind === "response" && transports.add(event.transport),
    })
    const seen: number[] = []
    for await (const batch of response.jsonBatches()) {
      seen.push(...numbers(batch.items))
      if (batch.streamClosed) break
      if (batch.upToDate && seen.length === 1) await handle.append({ n: 2 })
      if (seen.length === 2) await handle.close({ body: { n: 3 } })
    }
    same(seen, [1, 2, 3])
    same([...transports], ["catch-up", "sse"])
  },

  "tails text over SSE": async ({ client, streamUrl }) => {
    const text = "žluťoučký kůň\r\n 🐎 \n"
    same(await tailed(client, streamUrl(), "text/plain", "sse", [text, text]), text + text)
  },

  "tails bytes over SSE": async ({ client, streamUrl }) => {
    const bytes = Uint8Array.from({ length: 256 }, (_, i) => i)
    const type = "application/octet-stream"
    same(await tailed(client, streamUrl(), type, "sse", [bytes, bytes]), [...bytes, ...bytes])
  },

  "tails bytes over long-poll": async ({ client, streamUrl }) => {
    const bytes = Uint8Array.from({ length: 256 }, (_, i) => 255 - i)
    const type = "application/octet-stream"
    same(await tailed(client, streamUrl(), type, "long-poll", [bytes, bytes]), [...bytes, ...bytes])
  },

  "reads with a ReadableStream": async ({ client, streamUrl }) => {
    const handle = await createJson(client, streamUrl())
    for (const n of [1, 2, 3]) await handle.append({ n })
    const response = await client.stream<Message>({ url: handle.url })
    const seen: number[] = []
    for await (const message of response.jsonStream()) {
      seen.push(message.n)
      if (seen.length === 3) break
    }
    same(seen, [1, 2, 3])
    await response.closed
  },

  "appends a stream": async ({ client, streamUrl }) => {
    const url = streamUrl()
    const handle = await client.DurableStream.create({ url, contentType: "text/plain" })
    await handle.appendStream(words(["one ", "two ", "three"]))
    const response = await client.stream({ url, live: false })
    same(await response.text(), "one two three")
  },

  "pipes into a writable and closes the stream": async ({ client, streamUrl }) => {
    const url = streamUrl()
    const handle = await client.DurableStream.create({ url, contentType: "text/plain" })
    const writer = handle.writable().getWriter()
    for (const word of ["one ", "two ", "three"]) await writer.write(word)
    await writer.close()
    const response = await client.stream({ url })
    same(await response.text(), "one two three")
    same(response.streamClosed, true)
  },

  "stores each message once although a response is lost": async ({ client, streamUrl }) => {
    const handle = await createJson(client, streamUrl("loses-response"))
    const options = { autoClaim: true, lingerMs: 0 }
    const producer = new client.IdempotentProducer(handle, "smoke", options)
    const first = producer.send({ n: 0 })
    for (let n = 1; n < 100; n++) producer.append({ n })
    await producer.flush()
    same(typeof (await first).offset, "string")
    await producer.close({ n: 100 })
    const response = await client.stream<Message>({ url: handle.url })
    const all = Array.from({ length: 101 }, (_, n) => n)
    same(numbers(await response.json()), all)
  },

  "ends at once when a signal is aborted": async ({ client, streamUrl }) => {
    const handle = await createJson(client, streamUrl())
    const controller = new AbortController()
    const response = await client.stream({ url: handle.url, signal: controller.signal })
    const batches = response.jsonBatches()
    const first = await batches.next()
    same(first.done, false)
    const next = batches.next().then(
      ({ done }) => (done === true ? "ended" : "went on"),
      (error: unknown) => (error instanceof client.FetchBackoffAbortError ? "aborted" : error),
    )
    controller.abort()
    const outcome = await next
    if (outcome !== "ended" && outcome !== "aborted") throw asError(outcome)
    await response.closed
  },

  "rejects a pending request when a signal is aborted": async ({ client, streamUrl }) => {
    const controller = new AbortController()
    const url = streamUrl()
    const request = client.stream({
      url,
      signal: controller.signal,
      headers: { authorization: () => new Promise<string>(() => undefined) },
    })
    controller.abort(new Error("enough"))
    const error = await rejection(request)
    same(error instanceof client.FetchBackoffAbortError, true)
  },

  "names what is wrong": async ({ client, streamUrl }) => {
    const missing = await rejection(client.stream({ url: streamUrl() }))
    if (!(missing instanceof client.FetchError)) throw asError(missing)
    same([missing.code, missing.status, missing.name], ["NOT_FOUND", 404, "FetchError"])
    const handle = await createJson(client, streamUrl())
    await handle.close()
    const closed = await rejection(handle.append({ n: 1 }))
    same(closed instanceof client.StreamClosedError, true)
    const url = streamUrl("unreachable")
    const unreachable = await rejection(client.stream({ url, backoffOptions: { maxRetries: 0 } }))
    if (!(unreachable instanceof client.FetchError)) throw asError(unreachable)
    same([unreachable.code, unreachable.status], ["NETWORK", 0])
  },

  deletes: async ({ client, streamUrl }) => {
    const handle = await createJson(client, streamUrl())
    await handle.delete()
    same(await handle.head(), { exists: false })
  },
}

/** Runs every case, one after another. */
export async function runSmokeCases(
  client: typeof Client,
  serverUrl: string,
  subscriptions?: typeof Subscriptions,
): Promise<SmokeResult[]> {
  const results: SmokeResult[] = []
  for (const [name, runCase] of Object.entries(smokeCases)) {
    let streams = 0
    const streamUrl: SmokeContext["streamUrl"] = (fault) =>
      [`${serverUrl}/smoke`, results.length, ++streams, fault ?? "sound"].join("-")
    try {
      await within(20_000, runCase({ client, subscriptions, streamUrl }))
      results.push({ name })
    } catch (error) {
      const { message, stack } = asError(error)
      results.push({ name, failure: stack?.includes(message) ? stack : `${message}\n${stack}` })
    }
  }
  return results
}

/** A handler of webhooks, what sends it a signed wake, and its server: its keys, its callback and its stream. */
async function webhook({ webhookHandler }: typeof Subscriptions) {
  // Ed25519 keys come in pairs.
  const { privateKey, publicKey } = await crypto.subtle.generateKey("Ed25519", true, [
    "sign",
    "verify",
  ])
  const key = { ...(await crypto.subtle.exportKey("jwk", publicKey)), kid: "k" }
  const callbacks: string[] = []
  const seen: unknown[] = []
  const handler = webhookHandler({
    root: "https://streams.example.com/v1/stream",
    subscription: "s",
    leaseTtlMs: 30_000,
    onBatch: ({ items }) => void seen.push(...items),
    fetch(url, init) {
      const { pathname } = new URL(String(url))
      if (pathname.endsWith("/jwks.json")) return Promise.resolve(Response.json({ keys: [key] }))
      if (pathname.endsWith("/callback")) {
        callbacks.push(String(init?.body))
        return Promise.resolve(Response.json({ ok: true, next_wake: false }))
      }
      const headers = {
        "content-type": "application/json",
        "stream-next-offset": "1",
        "stream-up-to-date": "true",
      }
      return Promise.resolve(new Response('[{"n":1}]', { headers }))
    },
  })
  const stream = { path: "a", acked_offset: "-1", tail_offset: "1", has_pending: true }
  const body = JSON.stringify({
    subscription_id: "s",
    wake_id: "w",
    generation: 1,
    callback_token: "t",
    streams: [stream],
  })
  const time = Math.floor(Date.now() / 1000)
  const signed = new TextEncoder().encode(`${time}.${body}`)
  const bytes = new Uint8Array(await crypto.subtle.sign("Ed25519", privateKey, signed))
  const base64 = btoa(String.fromCharCode(...bytes))
  const base64url = base64.replace(/\+/g, "-").replace(/\//g, "_").replace(/=/g, "")
  const headers = { "webhook-signature": `t=${time},kid=k,ed25519=${base64url}` }
  const send = async (change: (body: string) => string) => {
    const init = { method: "POST", headers, body: change(body) }
    return (await handler(new Request("https://receiver.example.com/", init))).status
  }
  return { send, seen, callbacks }
}

function createJson(client: typeof Client, url: string): Promise<Client.DurableStream> {
  return client.DurableStream.create({ url, contentType: "application/json" })
}

/** Appends all but the first part once the reader is live; gives what the reader got as text or as numbers. */
async function tailed(
  client: typeof Client,
  url: string,
  contentType: string,
  live: "sse" | "long-poll",
  [first, ...others]: readonly (string | Uint8Array)[],
): Promise<string | number[]> {
  const handle = await client.DurableStream.create({ url, contentType })
  await handle.append(first)
  const response = await client.stream({ url, live })
  const text = typeof first === "string"
  let seenText = ""
  const seenBytes: number[] = []
  let appended = false
  for await (const chunk of text ? response.textChunks() : response.byteChunks()) {
    if ("text" in chunk) seenText += chunk.text
    else seenBytes.push(...chunk.data)
    if (chunk.upToDate && !appended) {
      appended = true
      for (const part of others) await handle.append(part)
      await handle.close()
    }
  }
  return text ? seenText : seenBytes
}

async function* words(all: readonly string[]): AsyncGenerator<string> {
  for (const word of all) {
    await Promise.resolve()
    yield word
  }
}

const numbers = (messages: readonly Message[]): number[] => messages.map(({ n }) => n)

async function rejection(promise: Promise<unknown>): Promise<unknown> {
  const outcome = await promise.then(
    () => ({ rejected: false, error: undefined }),
    (error: unknown) => ({ rejected: true, error }),
  )
  if (!outcome.rejected) throw new Error("it should have rejected")
  return outcome.error
}

function same(actual: unknown, expected: unknown): void {
  const [is, should] = [JSON.stringify(actual), JSON.stringify(expected)]
  if (is !== should) throw new Error(`got ${is}, expected ${should}`)
}

async function within<T>(limitMs: number, promise: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`nothing after ${limitMs} ms`)), limitMs)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error))
}
