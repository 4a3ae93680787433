import { DurableStreamError } from "../../errors/durable-stream-error.ts"
import { encodeUtf8 } from "../../platform/text.ts"
import { joinBytes } from "../../protocol/bytes.ts"
import { NOW_OFFSET } from "../../protocol/offset.ts"
import { describeUrl } from "../../protocol/request-url.ts"
import { decodeChunk, endText, type PartialText } from "../../protocol/utf8-decoder.ts"
import type { SourcePage, TransferFailure } from "../page.ts"
import type { ByteChunk, JsonBatch, JsonBatchMeta, TextChunk } from "../stream-response.ts"

/** What arrived: bytes, or the texts of SSE events. */
export type Part = Uint8Array | readonly string[]

/** `pending`: the first bytes of a character; the state cannot be handed over with the offset of a page's end then. */
export interface FormatState {
  readonly size: number
  readonly pending?: unknown
}

/**
 * What a method delivers, and how it is made of what arrives. A state is never changed: the reader goes back to an earlier
 * one if a page breaks.
 *
 * @template S - what was read and not handed over; its size in bytes, characters or messages
 * @template T - what is handed over
 * @template TBatch - the same with its place in the stream
 */
export interface Format<S extends FormatState, T, TBatch> {
  readonly empty: S
  /** Whether a page's content is its messages: one of `[]` is empty. */
  readonly countsMessages: boolean
  add(state: S, part: Part): S
  endPage(state: S, page: SourcePage, url: string): S | TransferFailure
  value(state: S): T
  /** What is left behind that. */
  rest(state: S): S
  batch(value: T, place: JsonBatchMeta): TBatch
}

/** What was read, newest first. */
type Chain<V> = { readonly value: V; readonly before: Chain<V> } | undefined

function toArray<V>(chain: Chain<V>): V[] {
  const values: V[] = []
  for (let link = chain; link !== undefined; link = link.before) values.push(link.value)
  return values.reverse()
}

interface Bytes {
  readonly size: number
  readonly chunks: Chain<Uint8Array>
}

const noBytes: Bytes = { size: 0, chunks: undefined }

/** Bytes as they are. A whole page costs one copy, as it arrives in chunks (64 KiB in Node). */
export const bytesFormat: Format<Bytes, Uint8Array, ByteChunk> = {
  empty: noBytes,
  countsMessages: false,
  add({ size, chunks }, part) {
    const value = isTexts(part) ? encodeUtf8(part.join("")) : part
    return { size: size + value.byteLength, chunks: { value, before: chunks } }
  },
  endPage: (state) => state,
  value: ({ chunks }) => joinBytes(toArray(chunks)),
  rest: () => noBytes,
  batch: (data, place) => ({ data, ...place }),
}

interface Text extends PartialText {
  readonly size: number
}

const noText: Text = { size: 0, text: "", pending: undefined }

/** Text in whole characters. */
export const textFormat: Format<Text, string, TextChunk> = {
  empty: noText,
  countsMessages: false,
  add: addText,
  endPage(state, { end }) {
    // A stream that was closed inside a character has no other half of it to wait for.
    return end.streamClosed ? sized(endText(state)) : state
  },
  value: ({ text }) => text,
  rest: ({ pending }) => ({ size: 0, text: "", pending }),
  batch: (text, place) => ({ text, ...place }),
}

function addText(state: Text, part: Part): Text {
  if (!isTexts(part)) return sized(decodeChunk(state, part))
  const text = part.join("")
  return state.pending === undefined
    ? { ...state, text: state.text + text, size: state.size + text.length }
    : sized(decodeChunk(state, encodeUtf8(text)))
}

function sized({ text, pending }: PartialText): Text {
  return { text, pending, size: text.length }
}

/** What was read of a JSON stream and not handed over. */
export interface Messages {
  readonly size: number
  readonly lists: Chain<unknown[]>
  /** The page that is being read: SSE events, each a document, or one document. */
  readonly documents: readonly string[]
  readonly text: Text
}

const noMessages: Messages = { size: 0, lists: undefined, documents: [], text: noText }

/** The messages of a JSON stream. A page costs one decoding and one parse, as with `response.json()`. */
export const jsonFormat: Format<Messages, unknown[], JsonBatch> = {
  empty: noMessages,
  countsMessages: true,
  add(state, part) {
    return isTexts(part)
      ? { ...state, documents: [...state.documents, ...part] }
      : { ...state, text: addText(state.text, part) }
  },
  endPage({ size, lists, documents, text }, page, url) {
    const all = [...documents, withoutBom(endText(text).text)].filter((one) => !isBlank(one))
    // An empty page is `[]`, which some servers leave out; but if the offset moved, its content was lost.
    if (all.length === 0 && losesContent(page)) return invalidPage(url, undefined)
    try {
      const value = joinLists(all.map(parseDocument))
      return { ...noMessages, size: size + value.length, lists: { value, before: lists } }
    } catch (cause) {
      // What else it throws is a limit of the engine.
      if (!(cause instanceof SyntaxError)) throw cause
      return invalidPage(url, cause)
    }
  },
  value: ({ lists }) => joinLists(toArray(lists)),
  rest: () => noMessages,
  batch: (items, place) => ({ items, ...place }),
}

function isTexts(part: Part): part is readonly string[] {
  return Array.isArray(part)
}

/** An SSE page without data events is not one: its control event says where it ends, and the server may begin further back. */
function losesContent({ start, end, payload }: SourcePage): boolean {
  const hasBody = payload.texts === undefined && payload.bodiless === undefined
  return start !== end.offset && start !== NOW_OFFSET && hasBody
}

/** An empty page may have a line end. A longer one has content and is not searched. */
function isBlank(document: string): boolean {
  return document.length <= 2 && document.trim() === ""
}

function withoutBom(document: string): string {
  return document.charCodeAt(0) === 0xfeff ? document.slice(1) : document
}

/** A page is an array of messages. One that is a single other value is taken for that message. */
function parseDocument(document: string): unknown[] {
  const value: unknown = JSON.parse(document)
  return Array.isArray(value) ? value : [value]
}

/**
 * Joins lists; a single one is returned as it is. (`flat` and `flatMap` take a tenth of a microsecond for each element, a
 * fifth of what JSON.parse takes for a small one; this takes a hundredth.)
 */
function joinLists<T>(lists: readonly T[][]): T[] {
  const [first] = lists
  if (first !== undefined && lists.length === 1) return first
  const joined = new Array<T>(lists.reduce((length, list) => length + list.length, 0))
  let position = 0
  for (const list of lists) for (const element of list) joined[position++] = element
  return joined
}

function invalidPage(url: string, cause: unknown): TransferFailure {
  const message = `A page of ${describeUrl(url)} is not valid JSON.`
  const error = new DurableStreamError(message, "PARSE_ERROR", undefined, undefined, { cause })
  return { kind: "malformed", error }
}
