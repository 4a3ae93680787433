/** A ReadableStream that can be read with `for await`, also on platforms whose streams cannot (Safari). */
export type ReadableStreamAsyncIterable<T> = ReadableStream<T> & AsyncIterable<T>

/** The platform types a read's end as one that may have a value. */
type Result<T> = IteratorResult<T, T | undefined>

/**
 * Makes a ReadableStream usable with `for await`. Leaving the loop early cancels the stream.
 *
 * @param stream - any ReadableStream; returned unchanged if the platform's streams iterate by themselves
 * @returns the same stream object
 * @example
 * ```ts
 * import { asAsyncIterableReadableStream } from "@durable-streams/client"
 *
 * const body = new Response("hello").body
 * if (body !== null) {
 *   for await (const chunk of asAsyncIterableReadableStream(body)) console.log(chunk.byteLength)
 * }
 * ```
 */
export function asAsyncIterableReadableStream<T>(
  stream: ReadableStream<T>,
): ReadableStreamAsyncIterable<T> {
  if (!(Symbol.asyncIterator in stream)) return iterateWith(stream)
  // The platform's stream iterates.
  return stream as ReadableStreamAsyncIterable<T>
}

/**
 * Replaces the iteration of a stream. The platform's waits with `return()` for a `next()` that is pending; this one cancels
 * the stream at once.
 *
 * @param takeDirectly - the next value without a read; undefined if only a read gives it. Called only while the loop holds
 *   the stream
 * @returns the same stream object
 */
export function iterateWith<T>(
  stream: ReadableStream<T>,
  takeDirectly: () => Result<T> | Promise<Result<T>> | undefined = () => undefined,
): ReadableStreamAsyncIterable<T> {
  const value = (options?: ReadableStreamIteratorOptions) =>
    iterate(stream, takeDirectly, options?.preventCancel)
  const property = { value, configurable: true, writable: true }
  Object.defineProperties(stream, { values: property, [Symbol.asyncIterator]: property })
  // The line above is what the type says.
  return stream as ReadableStreamAsyncIterable<T>
}

function iterate<T>(
  stream: ReadableStream<T>,
  takeDirectly: () => Result<T> | Promise<Result<T>> | undefined,
  preventCancel = false,
): AsyncIterableIterator<T> {
  const reader = stream.getReader()
  let isOver = false
  const end = (): IteratorReturnResult<undefined> => {
    isOver = true
    reader.releaseLock()
    return { done: true, value: undefined }
  }
  const settle = async (pending: Promise<Result<T>>): Promise<Result<T>> => {
    try {
      const result = await pending
      return result.done === true ? end() : result
    } catch (error) {
      if (isOver) return end()
      end()
      throw error
    }
  }
  return {
    next() {
      if (isOver) return Promise.resolve({ done: true, value: undefined })
      const taken = takeDirectly() ?? reader.read()
      return "then" in taken ? settle(taken) : Promise.resolve(taken)
    },
    async return() {
      if (isOver) return { done: true, value: undefined }
      const cancelled = preventCancel ? undefined : reader.cancel()
      const result = end()
      await cancelled
      return result
    },
    [Symbol.asyncIterator]() {
      return this
    },
  }
}
