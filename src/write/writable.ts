import { DurableStreamError } from "../errors/durable-stream-error.ts"
import { byteView } from "../protocol/bytes.ts"
import { WholeCharacters } from "../protocol/well-formed.ts"

/** What a writable writes to: a producer. */
export interface WritableSink {
  /** Takes one chunk. Throws if it cannot be sent, or nothing can any more. */
  append(body: unknown): void
  /** Pending while more is waiting than should be, or than leaves room for a chunk that was rejected. */
  readonly ready: Promise<void>
  /** Delivers what was taken, then closes the stream. */
  close(): Promise<unknown>
  /** Drops what was not delivered and releases everything. The stream stays open. */
  abort(reason: unknown): void
}

/**
 * A WritableStream over a producer: its backpressure is the producer's, closing it closes the stream, aborting it does not.
 *
 * @param openSink - makes the producer; its failures go to `onError`
 * @throws DurableStreamError `BAD_REQUEST` if the platform has no WritableStream
 */
export function writableTo(
  openSink: (onError: (error: unknown) => void) => WritableSink,
): WritableStream<Uint8Array | string> {
  if (typeof WritableStream === "undefined") {
    throw new DurableStreamError(
      "writable() needs WritableStream, which this platform does not have. Use an IdempotentProducer, or a polyfill.",
      "BAD_REQUEST",
    )
  }
  let sink: WritableSink
  const text = new WholeCharacters()
  /** Appends a chunk, once there is room for it. */
  const append = async (chunk: string | Uint8Array) => {
    // Pipes carry empty chunks, which are not JSON.
    if ((typeof chunk === "string" ? chunk : byteView(chunk))?.length === 0) return
    try {
      sink.append(chunk)
    } catch (error) {
      if (!(error instanceof DurableStreamError) || error.code !== "BUFFER_FULL") throw error
      await sink.ready
      sink.append(chunk)
    }
  }
  return new WritableStream<Uint8Array | string>({
    start(controller) {
      // Old browsers have no such signal.
      const { signal } = controller as Partial<WritableStreamDefaultController>
      sink = openSink((error) => {
        // A write that was taken cannot reject any more: the stream fails, and with it every later write and the close.
        if (signal?.aborted !== true) controller.error(error)
        sink.abort(error)
      })
      // abort() below waits for the write that is in flight, which waits for the server.
      signal?.addEventListener("abort", () => {
        sink.abort(signal.reason)
      })
    },
    async write(chunk) {
      if (typeof chunk === "string") await append(text.push(chunk))
      else {
        await append(text.end())
        await append(chunk)
      }
      await sink.ready
    },
    async close() {
      try {
        await append(text.end())
        await sink.close()
      } catch (error) {
        // Nothing can be written any more.
        sink.abort(error)
        throw error
      }
    },
    abort(reason) {
      sink.abort(reason)
    },
  })
}
