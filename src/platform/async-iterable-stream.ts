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
  if (!(Symbol.asyncIterator in stream)) iterateWith(stream)
  // Either the platform's stream iterates or the line above taught it to; the type cannot see the latter.
  return stream as ReadableStreamAsyncIterable<T>
}

/**
 * Makes `for await` over a stream take from beside it what is at hand there, and read the stream for the rest.
 *
 * @param stream - whose iteration is replaced
 * @param takeAtHand - what comes next without a read; undefined where only a read tells. Called only while a loop
 *   holds the stream and no read is pending
 */
export function iterateWith<T>(
  stream: ReadableStream<T>,
  takeAtHand: () => IteratorYieldResult<T> | undefined = () => undefined,
): void {
  Object.defineProperty(stream, Symbol.asyncIterator, {
    configurable: true,
    writable: true,
    value: () => iterate(stream, takeAtHand),
  })
}

function iterate<T>(
  stream: ReadableStream<T>,
  takeAtHand: () => IteratorYieldResult<T> | undefined,
): AsyncIterableIterator<T> {
  const reader = stream.getReader()
  let pendingReads = 0
  let isOver = false
  const end = (): IteratorReturnResult<undefined> => {
    isOver = true
    reader.releaseLock()
    return { done: true, value: undefined }
  }
  const read = async (): Promise<IteratorResult<T>> => {
    if (isOver) return { done: true, value: undefined }
    pendingReads++
    try {
      const result = await reader.read()
      return result.done ? end() : { done: false, value: result.value }
    } catch (error) {
      end()
      throw error
    } finally {
      pendingReads--
    }
  }
  return {
    next() {
      const atHand = pendingReads === 0 && !isOver ? takeAtHand() : undefined
      return atHand === undefined ? read() : Promise.resolve(atHand)
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
