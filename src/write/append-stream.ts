import { kindOf } from "../http/option-checks.ts"
import type { DurableStreamError } from "../errors/durable-stream-error.ts"
import { LinkedAbortController, raceAbort } from "../http/abort.ts"
import { headExistingStream } from "../http/stream-head.ts"
import { canStreamRequests } from "../platform/runtime.ts"
import { encodeUtf8 } from "../platform/text.ts"
import { byteView, joinBytes } from "../protocol/bytes.ts"
import { isJsonContentType } from "../protocol/content-type.ts"
import { DEFAULT_CONTENT_TYPE, joinMessages, type MessageContent } from "../protocol/message.ts"
import { describeUrl } from "../protocol/request-url.ts"
import {
  learnContentType,
  mayShareRequest,
  postWrite,
  type WriteTarget,
  type WriteTerms,
} from "./append-request.ts"
import { ByteSplitter, JsonSplitter, type ContentSplitter } from "./content-splitter.ts"
import { badRequest, checkAppendOptions } from "./write-checks.ts"
import type { AppendOptions } from "./write-options.ts"

/** How much is read ahead while a batch is in flight, in bytes or UTF-16 units; gateways often reject more than 1 MiB. */
const MAX_BATCH_SIZE = 256 * 1024

/** What a streamed append can be fed from. */
export type AppendSource =
  | ReadableStream<Uint8Array | string>
  | ReadableStream<Uint8Array>
  | ReadableStream<string>
  | AsyncIterable<Uint8Array | string>

/** The parts of a source, some at a time: content, or messages of a JSON stream. */
type Parts = AsyncGenerator<readonly MessageContent[], void>

interface Upload {
  readonly target: WriteTarget
  readonly terms: WriteTerms
  readonly type: string
  readonly signal: AbortSignal
}

/**
 * Appends what a source gives. See `DurableStream.appendStream` for the contract.
 *
 * @throws the source's own error, DurableStreamError `PARSE_ERROR` for text that is not JSON, else as `exchange`
 */
export async function appendStream(
  target: WriteTarget,
  source: AppendSource,
  options: AppendOptions,
): Promise<void> {
  const reader = openSource(source)
  let abort: LinkedAbortController | undefined
  let reason: unknown
  try {
    const terms = checkAppendOptions(options)
    abort = new LinkedAbortController(target.endpoint.signal, options.signal)
    await upload(target, reader, terms, abort.signal)
  } catch (error) {
    reason = error
    throw error
  } finally {
    // Also after a success: a server may respond before it has read to the end.
    reader.cancel(reason)
    abort?.abort()
  }
}

async function upload(
  target: WriteTarget,
  source: SourceReader,
  terms: WriteTerms,
  signal: AbortSignal,
): Promise<void> {
  const { endpoint } = target
  const first = await raceAbort(source.next(), signal)
  // A body that can be read only once cannot be sent to find out whether a guess is right.
  const known = terms.contentType ?? (await learnContentType(target, signal))
  const type = known ?? DEFAULT_CONTENT_TYPE
  const stream = describeUrl(endpoint.url)
  const splitter = isJsonContentType(type) ? new JsonSplitter(stream) : new ByteSplitter(stream)
  const parts = readParts(source, first, splitter, signal)
  const beginning = await parts.next()
  if (beginning.done === true) {
    // Nothing to append; a stream that does not exist is an error all the same.
    await headExistingStream(endpoint, signal)
    return
  }
  const to = { target, terms, type, signal }
  if (canStreamRequests() && (await uploadAsStream(to, beginning.value, parts))) return
  await uploadInBatches(to, beginning.value, parts)
}

/**
 * Reads the parts of a source, at least one at a time.
 *
 * @throws the source's own error; DurableStreamError for a chunk that is not content; FetchBackoffAbortError
 */
async function* readParts(
  source: SourceReader,
  first: Chunk,
  splitter: ContentSplitter,
  signal: AbortSignal,
): Parts {
  for (let chunk = first; ; chunk = await raceAbort(source.next(), signal)) {
    const parts = chunk.done ? splitter.end() : splitter.push(asContent(chunk.value))
    if (parts.length > 0) yield parts
    if (chunk.done) return
  }
}

/**
 * Sends everything as the body of one request, which reads no further ahead than the network takes.
 *
 * @returns false if nothing was sent or read, because the fetch cannot send a stream
 */
async function uploadAsStream(
  { target, terms, type, signal }: Upload,
  beginning: readonly MessageContent[],
  parts: Parts,
): Promise<boolean> {
  const isJson = isJsonContentType(type)
  const state: { isRead: boolean; isConverted: boolean; failure?: { readonly error: unknown } } = {
    isRead: false,
    isConverted: false,
  }
  const body = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          const lead = isJson ? (state.isRead ? "," : "[") : ""
          const some = state.isRead ? (await parts.next()).value : beginning
          state.isRead = true
          if (some === undefined) {
            if (isJson) controller.enqueue(encodeUtf8("]"))
            controller.close()
          } else if (isJson) controller.enqueue(encodeUtf8(lead + some.join(",")))
          else controller.enqueue(joinBytes(some.filter((part) => typeof part !== "string")))
        } catch (error) {
          // `fetch` hides it.
          state.failure = { error }
          controller.error(error)
        }
      },
    },
    { highWaterMark: 0 },
  )
  const rejectConversion = () => {
    state.isConverted = true
    throw new TypeError("This fetch cannot send a stream")
  }
  // A fetch that is not the platform's (node-fetch, cross-fetch) would send the text `[object ReadableStream]`.
  for (const method of [Symbol.toPrimitive, "toString"]) {
    Object.defineProperty(body, method, { value: rejectConversion })
  }
  try {
    await postWrite(target.endpoint, terms, { type, body, isStream: true }, signal)
    return true
  } catch (error) {
    if (state.isConverted && !state.isRead && !signal.aborted) return false
    throw state.failure === undefined ? error : state.failure.error
  }
}

/** Sends batches one after another. Each takes what was read while the one before it was in flight. */
async function uploadInBatches(
  { target, terms, type, signal }: Upload,
  beginning: readonly MessageContent[],
  parts: Parts,
): Promise<void> {
  let batch = beginning
  let next = readAhead(parts)
  /** Adds what is read next; false at the end of the source. */
  const take = async () => {
    const { some, failure } = await next
    if (failure !== undefined) throw failure.error
    if (some === undefined) return false
    batch = batch.concat(some)
    next = readAhead(parts)
    return true
  }
  const send = async () => {
    const body = joinMessages(batch, type)
    batch = []
    await postWrite(target.endpoint, terms, { type, body }, signal)
  }
  // A sequence and a producer's numbers stand for one request.
  const isWhole = !mayShareRequest(terms)
  while (isWhole && (await take()));
  do {
    const sent = send()
    const settled = sent.catch(() => undefined)
    let size = 0
    while (!isWhole && size < MAX_BATCH_SIZE) {
      const { some } = (await Promise.race([settled, next])) ?? {}
      if (some === undefined) break
      size += some.reduce((sum, part) => sum + part.length, 0)
      await take()
    }
    await sent
  } while (batch.length > 0 || (await take()))
}

/** What was read, if anything. Does not reject: it may be looked at late. */
interface ReadAhead {
  readonly some?: readonly MessageContent[]
  readonly failure?: { readonly error: unknown }
}

async function readAhead(parts: Parts): Promise<ReadAhead> {
  try {
    const { value } = await parts.next()
    return value === undefined ? {} : { some: value }
  } catch (error) {
    return { failure: { error } }
  }
}

function asContent(chunk: unknown): string | Uint8Array {
  const content = typeof chunk === "string" ? chunk : byteView(chunk)
  if (content !== undefined) return content
  throw badSource(`has a chunk that is neither text nor bytes but ${kindOf(chunk)}.`)
}

interface Chunk {
  readonly done?: boolean | undefined
  readonly value?: unknown
}

interface SourceReader {
  /** Rejects with the source's own error. */
  next(): Promise<Chunk>
  /** Tells the source that no more is wanted. Does not wait for it, and does not fail. */
  cancel(reason: unknown): void
}

function openSource(source: AppendSource): SourceReader {
  // JavaScript callers can give anything.
  const given = source as
    Partial<ReadableStream<unknown> & AsyncIterable<unknown>> | null | undefined
  if (given?.locked === true) throw badSource("is locked to a reader.")
  const reader = given?.getReader?.()
  const iterator = reader === undefined ? given?.[Symbol.asyncIterator]?.() : undefined
  if (reader === undefined && iterator === undefined) {
    throw badSource(
      "must be a ReadableStream or an async iterable of strings or bytes; append() takes one body.",
    )
  }
  let isOver = false
  return {
    async next() {
      try {
        const chunk: Chunk = (await (reader?.read() ?? iterator?.next())) ?? { done: true }
        isOver = chunk.done === true
        return chunk
      } catch (error) {
        isOver = true
        throw error
      }
    },
    cancel(reason) {
      // An iterator that ended by itself is not ended again, as by `for await`.
      const end = async () => isOver || (reader?.cancel(reason) ?? iterator?.return?.())
      end().catch(() => undefined)
    },
  }
}

function badSource(what: string): DurableStreamError {
  return badRequest(`The source of appendStream() ${what}`)
}
