/** A ReadableStream that can be read with `for await`, also on platforms whose streams cannot (Safari). */
export type ReadableStreamAsyncIterable<T> = ReadableStream<T> & AsyncIterable<T>

/**
 * Makes a ReadableStream usable with `for await`. Leaving the loop early cancels the stream.
 *
 * @param stream - any ReadableStream; given back unchanged where the platform's streams iterate by themselves
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
  if (!(Symbol.asyncIterator in stream)) {
    Object.defineProperty(stream, Symbol.asyncIterator, {
      configurable: true,
      writable: true,
      value: () => iterate(stream),
    })
  }
  // Either the platform's stream iterates or the line above taught it to; the type cannot see the latter.
  return stream as ReadableStreamAsyncIterable<T>
}

function iterate<T>(stream: ReadableStream<T>): AsyncIterableIterator<T> {
  const reader = stream.getReader()
  let isOver = false
  const end = (): IteratorReturnResult<undefined> => {
    isOver = true
    reader.releaseLock()
    return { done: true, value: undefined }
  }
  return {
    async next() {
      if (isOver) return { done: true, value: undefined }
      try {
        const result = await reader.read()
        return result.done ? end() : { done: false, value: result.value }
      } catch (error) {
        end()
        throw error
      }
    },
    async return() {
      if (isOver) return { done: true, value: undefined }
      const cancelled = reader.cancel()
      const result = end()
      await cancelled
      return result
    },
    [Symbol.asyncIterator]() {
      return this
    },
  }
}
