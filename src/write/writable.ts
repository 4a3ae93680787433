import { DurableStreamError } from "../errors/durable-stream-error.ts"
import { byteView } from "../protocol/byte-view.ts"
import { WholeCharacters } from "./whole-characters.ts"

/** What a writable writes to: a producer. */
export interface WritableSink {
  /** Takes one chunk. Throws where it cannot be sent, or nothing can any more. */
  append(body: unknown): void
  /** Pending while more is waiting than should be, or than leaves room for a chunk that was refused. */
  readonly ready: Promise<void>
  /** Delivers what was taken, then closes the stream. */
  close(): Promise<unknown>
  /** Drops what was not delivered and lets go of everything. The stream stays open. */
  abort(reason: unknown): void
}

/**
 * A WritableStream over a producer: its backpressure is the producer's, closing it closes the stream, aborting it does not.
 *
 * @param openSink - makes the producer; its failures go to `onError`
 */
export function writableTo(
  openSink: (onError: (error: unknown) => void) => WritableSink,
): WritableStream<Uint8Array | string> {
  let sink: WritableSink
  const text = new WholeCharacters()
  return new WritableStream<Uint8Array | string>({
    start(controller) {
      // Old browsers have no such signal.
      const { signal } = controller as Partial<WritableStreamDefaultController>
      sink = openSink((error) => {
        // A write that was taken cannot reject any more: the stream fails, and with it every later write and the close.
        if (signal?.aborted !== true) controller.error(error)
        sink.abort(error)
      })
      // abort() below waits for the write that is under way, which waits for the server.
      signal?.addEventListener("abort", () => {
        sink.abort(signal.reason)
      })
    },
    async write(chunk) {
      for (const part of partsOf(chunk, text)) await append(sink, part)
      await sink.ready
    },
    async close() {
      const left = text.end()
      if (left !== "") await append(sink, left)
      await sink.close()
    },
    abort(reason) {
      sink.abort(reason)
    },
  })
}

/** Appends a chunk, once there is room for it. */
async function append(sink: WritableSink, chunk: string | Uint8Array): Promise<void> {
  try {
    sink.append(chunk)
  } catch (error) {
    if (!(error instanceof DurableStreamError) || error.code !== "BUFFER_FULL") throw error
    await sink.ready
    sink.append(chunk)
  }
}

/** What can be appended of a chunk now. Pipes carry empty chunks; the protocol has no empty append. */
function partsOf(chunk: string | Uint8Array, text: WholeCharacters): (string | Uint8Array)[] {
  const parts = typeof chunk === "string" ? [text.push(chunk)] : [text.end(), chunk]
  return parts.filter((part) =>
    typeof part === "string" ? part !== "" : byteView(part)?.byteLength !== 0,
  )
}
