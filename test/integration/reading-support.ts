import type { StreamOptions, StreamResponse } from "../../src/index.ts"

/** Create a stream, with content where there is some. */
export async function createStream(
  url: string,
  contentType: string,
  body?: string | Uint8Array,
): Promise<void> {
  await put("PUT", url, contentType, body)
}

/** Append to a stream, behind this client's back. */
export async function append(
  url: string,
  contentType: string,
  body: string | Uint8Array,
): Promise<void> {
  await put("POST", url, contentType, body)
}

/** Close a stream, behind this client's back. */
export async function closeStream(url: string): Promise<void> {
  const response = await fetch(url, { method: "POST", headers: { "stream-closed": "true" } })
  await response.arrayBuffer()
  if (!response.ok) throw new Error(`closing ${url}: status ${response.status}`)
}

async function put(
  method: "PUT" | "POST",
  url: string,
  contentType: string,
  body: string | Uint8Array | undefined,
): Promise<void> {
  const response = await fetch(url, {
    method,
    headers: { "content-type": contentType },
    // Node's fetch takes bytes; the library's type wants to rule out shared memory.
    ...(body === undefined ? {} : { body: body as BodyInit }),
  })
  await response.arrayBuffer()
  if (!response.ok) throw new Error(`${method} ${url}: status ${response.status}`)
}

/** Options under which a test never waits for long: short delays, and no warnings on the console. */
export const quick = {
  backoffOptions: { initialDelay: 1, maxDelay: 20 },
  sseResilience: { backoffBaseDelay: 1, backoffMaxDelay: 5, logWarnings: false },
  warnOnHttp: false,
} as const satisfies Partial<StreamOptions>

/** The ways to consume a response, by what they give. */
export const METHODS = {
  json: ["json", "jsonStream", "subscribeJson", "jsonBatches"],
  text: ["text", "textStream", "subscribeText", "textChunks"],
  bytes: ["body", "bodyStream", "subscribeBytes", "byteChunks"],
} as const

/** One way to consume a response. */
export type Method = (typeof METHODS)[keyof typeof METHODS][number]

/** Methods that end at the tail by themselves, whatever the live mode. */
export const GATHERING: ReadonlySet<Method> = new Set(["json", "text", "body"])

/** What a consumer got so far. Messages are kept as JSON, one a line; bytes as the text that they are. */
export class Received {
  content = ""
  readonly #decoder = new TextDecoder("utf-8", { ignoreBOM: true })
  readonly #waiting = new Set<() => void>()

  add(part: { items?: readonly unknown[]; data?: Uint8Array; text?: string }): void {
    for (const item of part.items ?? []) this.content += `${JSON.stringify(item)}\n`
    if (part.data) this.content += this.#decoder.decode(part.data, { stream: true })
    if (part.text !== undefined) this.content += part.text
    for (const check of [...this.#waiting]) check()
  }

  /** Resolves once the content is, or ends with, what is expected. */
  whenEndsWith(expected: string): Promise<void> {
    return new Promise((resolve) => {
      const check = (): void => {
        if (!this.content.endsWith(expected)) return
        this.#waiting.delete(check)
        resolve()
      }
      this.#waiting.add(check)
      check()
    })
  }
}

/** Consume a response to its end. Rejects with what ended it otherwise. */
export async function consume(
  response: StreamResponse,
  method: Method,
  received = new Received(),
): Promise<string> {
  switch (method) {
    case "json":
      received.add({ items: await response.json() })
      break
    case "text":
      received.add({ text: await response.text() })
      break
    case "body":
      received.add({ data: await response.body() })
      break
    case "subscribeJson":
    case "subscribeText":
    case "subscribeBytes":
      response[method]((batch: object) => received.add(batch))
      await response.closed
      break
    case "jsonBatches":
    case "textChunks":
    case "byteChunks":
      for await (const batch of response[method]()) received.add(batch)
      break
    case "jsonStream":
      for await (const item of response.jsonStream()) received.add({ items: [item] })
      break
    case "textStream":
      for await (const text of response.textStream()) received.add({ text })
      break
    case "bodyStream":
      for await (const data of response.bodyStream()) received.add({ data })
      break
  }
  return received.content
}

/** Settles after one turn of the event loop: what a prompt end needs no longer than. */
export function oneTurn(): Promise<void> {
  return new Promise((resolve) => void setImmediate(resolve))
}

/** Headers of a response to a read. */
export function pageHeaders(
  offset: string,
  more: { type?: string; upToDate?: boolean; closed?: boolean; cursor?: string } = {},
): Record<string, string> {
  return {
    "content-type": more.type ?? "application/json",
    "stream-next-offset": offset,
    ...(more.upToDate === false ? {} : { "stream-up-to-date": "true" }),
    ...(more.closed ? { "stream-closed": "true" } : {}),
    ...(more.cursor === undefined ? {} : { "stream-cursor": more.cursor }),
  }
}

/** An SSE event. */
export function sseEvent(name: string, data: string): string {
  const lines = data.split("\n").map((line) => `data: ${line}\n`)
  return `event: ${name}\n${lines.join("")}\n`
}

/** The control event of an SSE page. */
export function sseControl(streamNextOffset: string, more: object = {}): string {
  return sseEvent("control", JSON.stringify({ streamNextOffset, upToDate: true, ...more }))
}
