import { byteView } from "../protocol/byte-view.ts"

/** What a writable writes to: a producer. */
export interface WritableSink {
  /** Takes one chunk. Throws where it cannot be sent, or nothing can any more. */
  append(body: unknown): void
  /** Pending while more is waiting than should be. */
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
  /** Half of a character at the end of a text chunk: its other half begins the next one. */
  let half = ""
  const appendHalf = (): void => {
    if (half !== "") sink.append(half)
    half = ""
  }
  return new WritableStream<Uint8Array | string>({
    start(controller) {
      sink = openSink((error) => {
        // A write that was taken cannot reject any more: the stream fails, and with it every later write and the close.
        controller.error(error)
        sink.abort(error)
      })
    },
    write(chunk) {
      // Pipes carry empty chunks; the protocol has no empty append.
      if (chunk === "" || byteView(chunk)?.byteLength === 0) return undefined
      if (typeof chunk === "string") {
        const text = half + chunk
        half = /[\uD800-\uDBFF]$/.test(text) ? text.slice(-1) : ""
        const whole = text.slice(0, text.length - half.length)
        if (whole !== "") sink.append(whole)
      } else {
        appendHalf()
        sink.append(chunk)
      }
      return sink.ready
    },
    async close() {
      appendHalf()
      await sink.close()
    },
    abort(reason) {
      sink.abort(reason)
    },
  })
}
