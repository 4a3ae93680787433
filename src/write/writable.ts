import { DurableStreamError } from "../errors/durable-stream-error.ts"
import { LinkedAbortController } from "../http/abort.ts"
import { byteView } from "../protocol/bytes.ts"
import { WholeCharacters } from "../protocol/well-formed.ts"

export interface WritableSink {
  /** Takes one chunk. Throws if it cannot be sent, or nothing can any more. */
  append(body: unknown): void
  /** Pending while more is waiting than should be, or than leaves room for a chunk that was rejected. */
  readonly ready: Promise<void>
  /** Delivers what was taken, then closes the stream. */
  close(): Promise<unknown>
}

/**
 * A WritableStream over a producer: its backpressure is the producer's, closing it closes the stream, aborting it does not.
 *
 * @param parent - the caller's signal
 * @param openSink - makes the producer, which drops what is not delivered when the signal aborts; its failures go to `onError`
 * @throws DurableStreamError `BAD_REQUEST` if the platform has no WritableStream
 */
export function writableTo(
  parent: AbortSignal | undefined,
  openSink: (signal: AbortSignal, onError: (error: unknown) => void) => WritableSink,
): WritableStream<Uint8Array | string> {
  if (typeof WritableStream === "undefined") {
    throw new DurableStreamError(
      "writable() needs WritableStream, which this platform does not have. Use an IdempotentProducer, or a polyfill.",
      "BAD_REQUEST",
    )
  }
  const controller = new LinkedAbortController(parent)
  let sink: WritableSink
  const text = new WholeCharacters()
  return new WritableStream<Uint8Array | string>({
    start(stream) {
      // Old browsers have no such signal.
      const { signal } = stream as Partial<WritableStreamDefaultController>
      const onError = (error: unknown) => {
        // A write that was taken cannot reject any more: the stream fails, and with it every later write and the close.
        if (signal?.aborted !== true) stream.error(error)
        controller.abort(error)
      }
      try {
        sink = openSink(controller.signal, onError)
      } catch (error) {
        controller.end()
        throw error
      }
      // abort() below waits for the write that is in flight, which waits for the server.
      signal?.addEventListener("abort", () => controller.abort(signal.reason))
    },
    async write(chunk) {
      const isText = typeof chunk === "string"
      await append(sink, isText ? text.push(chunk) : text.end())
      if (!isText) await append(sink, chunk)
      await sink.ready
    },
    async close() {
      try {
        await append(sink, text.end())
        await sink.close()
        controller.end()
      } catch (error) {
        // Nothing can be written any more.
        controller.abort(error)
        throw error
      }
    },
    abort(reason) {
      controller.abort(reason)
    },
  })
}

/** Appends a chunk, once there is room for it. */
async function append(sink: WritableSink, chunk: string | Uint8Array): Promise<void> {
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
