import type { ReadableStreamAsyncIterable } from "../../platform/async-iterable-stream.ts"
import type { JsonBatch } from "../batches.ts"
import { isJsonContentType } from "../../protocol/content-type.ts"
import type { Session } from "../session.ts"
import type { Consumption } from "./batch-consumers.ts"
import type { BatchSource, Delivery } from "./batch-source.ts"
import { PageFlow } from "./page-flow.ts"
import { sessionStream } from "./session-stream.ts"
import { Utf8Assembler } from "./utf8-assembler.ts"

/** The bytes of a stream as they arrive. */
export function byteStream(
  { session, progress }: Consumption,
  onEnd: () => void,
): ReadableStreamAsyncIterable<Uint8Array> {
  const flow = new PageFlow(session, {
    wholePages: hasFramedPages(session),
    acceptsText: () => false,
    onPageEnd: (page) => void progress.move(page),
  })
  return sessionStream<Uint8Array>(
    session,
    async (controller) => {
      const part = await flow.next()
      if (part === undefined) return true
      // No text is accepted above.
      controller.enqueue(part as Uint8Array)
      return false
    },
    onEnd,
  )
}

/** The text of a stream as it arrives. Its place moves only where a page ends with a character. */
export function textStream(
  { session, progress }: Consumption,
  onEnd: () => void,
): ReadableStreamAsyncIterable<string> {
  const utf8 = new Utf8Assembler()
  const flow = new PageFlow(session, {
    wholePages: hasFramedPages(session),
    acceptsText: () => utf8.aligned,
    onPageEnd: (page) => {
      if (utf8.aligned || page.streamClosed) progress.move(page)
    },
  })
  return sessionStream<string>(
    session,
    async (controller) => {
      for (;;) {
        const part = await flow.next()
        const atEof = session.state.kind === "ended" && session.state.outcome.kind === "eof"
        if (part === undefined) {
          // A stream that was closed inside a character has no other half of it to wait for.
          const rest = atEof ? utf8.flush() : ""
          if (rest !== "") controller.enqueue(rest)
          return true
        }
        const text = typeof part === "string" ? part : utf8.push(part)
        if (text === "") continue
        controller.enqueue(text)
        return false
      }
    },
    onEnd,
  )
}

/** The messages of a JSON stream, one by one. Their place moves with the last message of a page. */
export function jsonStream<T>(
  { session, progress }: Consumption,
  source: BatchSource<JsonBatch<T>>,
  onEnd: () => void,
): ReadableStreamAsyncIterable<T> {
  let last: { readonly item: T; readonly delivery: Delivery<JsonBatch<T>> } | undefined
  const handOver = (delivery: Delivery<JsonBatch<T>>): boolean => {
    progress.move(delivery.mark)
    session.delivered(0, delivery.empty)
    return session.state.kind === "ended"
  }
  return sessionStream<T>(
    session,
    async (controller) => {
      for (;;) {
        if (last !== undefined) {
          const { item, delivery } = last
          last = undefined
          controller.enqueue(item)
          return handOver(delivery)
        }
        const delivery = await source()
        if (delivery === undefined) return true
        const { items } = delivery.batch
        // All but the last message are queued at once, which is cheaper than a pull for each. The last one waits for
        // its own pull: only then are the others with the consumer, and the page may be called delivered.
        const queued = items.slice(0, -1)
        for (const item of queued) controller.enqueue(item)
        // There is one, where the page is not empty; its type may allow undefined.
        if (items.length > 0) last = { item: items[items.length - 1] as T, delivery }
        if (items.length > 1) return false
        if (items.length === 0 && handOver(delivery)) return true
      }
    },
    onEnd,
  )
}

/**
 * Whether a page is more than a part of the stream's bytes: one of JSON is an array around some messages, so that what
 * stands behind its first half depends on where the page ends.
 */
function hasFramedPages(session: Session): boolean {
  return isJsonContentType(session.contentType)
}
