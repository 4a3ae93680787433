import { DurableStreamError } from "../errors/durable-stream-error.ts"

/** What a streamed append can be fed from. */
export type AppendSource =
  | ReadableStream<Uint8Array | string>
  | ReadableStream<Uint8Array>
  | ReadableStream<string>
  | AsyncIterable<Uint8Array | string>

/** Reads a source, whichever kind it is. */
export interface SourceReader {
  /** The next chunk, whatever it is. Rejects with the source's own error. */
  next(): Promise<{ readonly done: boolean; readonly value?: unknown }>
  /** Tells the source that no more is wanted. Does not wait for it, and does not fail. */
  cancel(reason: unknown): void
}

/**
 * Begins to read a source.
 *
 * @throws DurableStreamError `BAD_REQUEST` where it is none, or is being read by somebody else
 */
export function openSource(source: AppendSource): SourceReader {
  // JavaScript callers can give anything.
  const given = source as
    Partial<ReadableStream<unknown> & AsyncIterable<unknown>> | null | undefined
  if (typeof given?.getReader === "function") {
    if (given.locked === true)
      throw badSource("The source of appendStream() is locked to a reader.")
    return readStream(given.getReader())
  }
  const iterate = given?.[Symbol.asyncIterator]
  if (typeof iterate === "function") return readIterator(iterate.call(given))
  throw badSource(
    "The source of appendStream() must be a ReadableStream or an async iterable of strings or bytes; append() takes one body.",
  )
}

function readStream(reader: ReadableStreamDefaultReader<unknown>): SourceReader {
  return {
    next: () => reader.read(),
    cancel(reason) {
      // Whoever cancels a source has no use for how it takes it.
      reader.cancel(reason).catch(() => undefined)
    },
  }
}

function readIterator(iterator: AsyncIterator<unknown>): SourceReader {
  let isOver = false
  return {
    next: async () => {
      try {
        const result: IteratorResult<unknown, unknown> = await iterator.next()
        isOver = result.done === true
        return { done: isOver, value: result.value }
      } catch (error) {
        isOver = true
        throw error
      }
    },
    cancel() {
      // One that ended by itself is not told to, as by a `for await`.
      if (isOver) return
      // An async function, so that one that throws at once fails in the same way.
      const end = async () => iterator.return?.()
      end().catch(() => undefined)
    },
  }
}

function badSource(message: string): DurableStreamError {
  return new DurableStreamError(message, "BAD_REQUEST")
}
