import type { StreamResponse } from "../../../src/index.ts"
import { bytesAsText } from "./content.ts"
import type { Ending, Method } from "./scenario.ts"

/** An offset that the consumer saw, and how much it had by then (messages, or bytes). */
export interface Checkpoint {
  offset: string
  units: number
  /** The offset came with the content that it stands behind; else it may lie before it. */
  exact: boolean
}

/** The consumer's own failure. */
export class ConsumerFailure extends Error {
  override readonly name = "ConsumerFailure"
}

/** What a consumer got, in units that can be compared with the stream: serialized messages, or one character a byte. */
export class Collected {
  readonly messages: string[] = []
  bytes = ""
  readonly checkpoints: Checkpoint[] = []
  /** Whether the stream is text. */
  isText = false
  deliveries = 0
  /** How often a consumer was called while it was still at work. */
  overlaps = 0

  get units(): number {
    return this.messages.length + this.bytes.length
  }

  add(content: { items?: readonly unknown[]; data?: Uint8Array; text?: string }): void {
    for (const item of content.items ?? []) this.messages.push(JSON.stringify(item))
    if (content.data) this.bytes += bytesAsText(content.data)
    if (content.text !== undefined)
      this.bytes += bytesAsText(new TextEncoder().encode(content.text))
  }

  /** What an iterator gives: a batch, a chunk of bytes or text, or one message. */
  addAny(value: unknown): void {
    if (value instanceof Uint8Array) return this.add({ data: value })
    const isBatch = typeof value === "object" && value !== null && "streamClosed" in value
    // Random messages never have that property.
    if (isBatch) this.add(value as Parameters<Collected["add"]>[0])
    else if (this.isText && typeof value === "string") this.add({ text: value })
    else this.add({ items: [value] })
  }

  saw(offset: string, exact: boolean): void {
    this.checkpoints.push({ offset, units: this.units, exact })
  }
}

/** How a consumer behaves. */
export interface ConsumerManner {
  ending: Ending
  /** Takes its time. */
  dawdle: () => Promise<void>
  /** Resolves when the consumer is to call `return()`. */
  returning: Promise<void>
}

/**
 * Consume a response to its end, or until the manner says otherwise. Resolves when the consumer is done, rejects with
 * what ended the session or with the consumer's own failure.
 */
export async function consume(
  response: StreamResponse,
  method: Method,
  collected: Collected,
  manner: ConsumerManner,
): Promise<void> {
  if (manner.ending.kind === "return") return returnEarly(response, method, collected, manner)
  switch (method) {
    case "json":
    case "text":
    case "body":
      return gather(response, method, collected)
    case "subscribeJson":
    case "subscribeText":
    case "subscribeBytes":
      return subscribe(response, method, collected, manner)
    case "jsonBatches":
    case "textChunks":
    case "byteChunks":
      return iterate(response, method, collected, manner)
    case "jsonStream":
    case "textStream":
    case "bodyStream":
      return read(response, method, collected, manner)
  }
}

/** Iterates, and calls `return()` at its time, whether `next()` is pending or not. */
async function returnEarly(
  response: StreamResponse,
  method: Method,
  collected: Collected,
  manner: ConsumerManner,
): Promise<void> {
  // Only methods whose results are iterable are drawn for this ending.
  const iterable = (response as unknown as Record<Method, () => AsyncIterable<unknown>>)[method]()
  const iterator = iterable[Symbol.asyncIterator]()
  let isReturned = false
  const returned = manner.returning.then(async () => {
    isReturned = true
    await iterator.return?.()
  })
  const end = returned.then(() => ({ done: true, value: undefined }))
  for (;;) {
    const next = iterator.next()
    next.catch(() => undefined)
    const { done, value } = await Promise.race([next, end])
    if (done === true) return isReturned ? returned : undefined
    collected.deliveries++
    collected.addAny(value)
    collected.saw(response.offset, false)
  }
}

async function gather(
  response: StreamResponse,
  method: "json" | "text" | "body",
  collected: Collected,
): Promise<void> {
  if (method === "json") collected.add({ items: await response.json() })
  else if (method === "text") collected.add({ text: await response.text() })
  else collected.add({ data: await response.body() })
  // Text up to the middle of a character at the tail has no place of its own.
  collected.saw(response.offset, method !== "text" || response.upToDate)
}

async function subscribe(
  response: StreamResponse,
  method: "subscribeJson" | "subscribeText" | "subscribeBytes",
  collected: Collected,
  manner: ConsumerManner,
): Promise<void> {
  let busy = false
  const callback = async (batch: {
    items?: readonly unknown[]
    data?: Uint8Array
    text?: string
    offset: string
  }): Promise<void> => {
    if (busy) collected.overlaps++
    busy = true
    collected.deliveries++
    try {
      if (manner.ending.kind === "throw" && collected.deliveries >= manner.ending.delivery) {
        throw new ConsumerFailure("the callback failed")
      }
      collected.add(batch)
      collected.saw(batch.offset, true)
      if (leaves(manner.ending, collected)) unsubscribe()
      await manner.dawdle()
    } finally {
      busy = false
    }
  }
  const unsubscribe = response[method](callback)
  await response.closed
}

async function iterate(
  response: StreamResponse,
  method: "jsonBatches" | "textChunks" | "byteChunks",
  collected: Collected,
  manner: ConsumerManner,
): Promise<void> {
  for await (const batch of response[method]()) {
    collected.deliveries++
    if (manner.ending.kind === "throw" && collected.deliveries >= manner.ending.delivery) {
      throw new ConsumerFailure("the loop failed")
    }
    collected.add(batch)
    collected.saw(batch.offset, true)
    if (leaves(manner.ending, collected)) break
    await manner.dawdle()
  }
}

async function read(
  response: StreamResponse,
  method: "jsonStream" | "textStream" | "bodyStream",
  collected: Collected,
  manner: ConsumerManner,
): Promise<void> {
  const reader = (response[method]() as ReadableStream<unknown>).getReader()
  for (;;) {
    const { done, value } = await reader.read()
    if (done) return
    collected.deliveries++
    if (method === "jsonStream") collected.add({ items: [value] })
    else if (typeof value === "string") collected.add({ text: value })
    else if (value instanceof Uint8Array) collected.add({ data: value })
    collected.saw(response.offset, false)
    if (manner.ending.kind === "throw" && collected.deliveries >= manner.ending.delivery) {
      await reader.cancel(new ConsumerFailure("the reader failed"))
      throw new ConsumerFailure("the reader failed")
    }
    if (leaves(manner.ending, collected)) return reader.cancel("enough")
    await manner.dawdle()
    collected.saw(response.offset, false)
  }
}

function leaves(ending: Ending, collected: Collected): boolean {
  return ending.kind === "leave" && collected.deliveries >= ending.delivery
}
