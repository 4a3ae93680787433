import type { ReadableStreamAsyncIterable } from "../../platform/async-iterable-stream.ts"
import { isJsonContentType } from "../../protocol/content-type.ts"
import type { Session } from "../session.ts"
import type { Consumption } from "./batch-consumers.ts"
import { PageFlow } from "./page-flow.ts"
import { sessionStream } from "./session-stream.ts"
import { Utf8Assembler } from "../../protocol/utf8-assembler.ts"

/** The bytes of a stream as they arrive: the platform's own chunks, handed on without a copy. */
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

/**
 * The text of a stream as it arrives, also in parts of a page. Its place moves only where a page ends with a character:
 * behind it, more can have been given.
 */
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

/**
 * Whether a page is more than a part of the stream's bytes: one of JSON is an array around some messages, so that what
 * stands behind its first half depends on where the page ends.
 */
function hasFramedPages(session: Session): boolean {
  return isJsonContentType(session.contentType)
}
