import { pageTooLarge } from "../../errors/page-too-large.ts"
import type { PageContent, PageMark, PageSource, SourcePage, TransferFailure } from "../page.ts"
import type { Format, FormatState, Part } from "./formats.ts"

/** A value on its way to the caller. */
export interface Delivery<T> {
  readonly value: T
  /** The page that ends with it; undefined if it is a part of one. */
  readonly whole?: WholePage
}

interface WholePage {
  readonly page: SourcePage
  readonly content: PageContent
}

export interface ReadMode {
  /** As soon as there is so much (bytes or characters), it is handed over, also within a page. */
  readonly partSize: number
  /** Pages are kept until one is up to date: one value is everything up to the tail. */
  readonly collects?: boolean
  /** Pages without content are not handed over. */
  readonly skipsEmpty?: boolean
}

/** Larger pages are handed over in parts. No engine's strings are shorter than 2^29 - 24 characters. */
export const MAX_PART_SIZE = 1 << 28

/** 64 MiB: a larger chunk is read in pieces, so that a part stays below the engine's limit. */
const MAX_PIECE_BYTES = 67_108_864

export type Reader<T, TBatch = unknown> = Pick<
  PageReader<FormatState, T, TBatch>,
  "next" | "accept" | "rest"
>

/**
 * The one way from a session's pages to its caller: gets a page, reads its payload part by part, hands over values, and
 * commits the page.
 *
 * - A page that breaks is rejected and comes again. Its bytes that were handed over are skipped then: a position in a stream
 *   never changes its content.
 * - Text inside a character at a page's end is kept until the next page: no offset lies inside a character.
 * - An exception while a page is read ends the session with it.
 */
export class PageReader<S extends FormatState, T, TBatch> {
  readonly #source: PageSource
  readonly #url: string
  readonly #format: Format<S, T, TBatch>
  readonly #mode: ReadMode
  #page: SourcePage | undefined
  #state: S
  /** The state to go back to if the page breaks. */
  #kept: S
  #receivedBytes = 0
  /** Bytes of the page that the caller has. */
  #deliveredBytes = 0
  /** What is left of a large chunk. */
  #chunk: { readonly kind: "chunk"; readonly bytes: Uint8Array } | undefined
  #restarted = false
  /** The last collected page that ends with a character. */
  #held: WholePage | undefined

  constructor(source: PageSource, url: string, format: Format<S, T, TBatch>, mode: ReadMode) {
    this.#source = source
    this.#url = url
    this.#format = format
    this.#mode = mode
    this.#state = this.#kept = format.empty
  }

  /**
   * The next value. The code that gets it calls `accept` in the turn in which the caller gets it. One call at a time.
   *
   * @returns undefined at the end of the session
   * @throws what ended the session: a failed request, an abort, or an exception while a page was read
   */
  next(): Promise<Delivery<T> | undefined> {
    if (this.#page !== undefined) return this.#read()
    // Not awaited: a session waits here most of its life, and an async function that waits takes more than twice as much.
    return this.#source.next().then(this.#begin)
  }

  /**
   * The value is the caller's.
   *
   * @returns it with its place: behind its page, or before the page of which it is a part. undefined if the session ended
   *   while it was on its way: it is not delivered then, and `next` tells how the session ended
   */
  accept({ value, whole }: Delivery<T>): TBatch | undefined {
    const source = this.#source
    if (source.outcome !== undefined) return undefined
    const mark: Partial<PageMark> = whole ? source.commit(whole.page, whole.content) : {}
    const { offset = source.position.offset, upToDate = false, streamClosed = false, cursor } = mark
    const restarted = this.#restarted && ({ restarted: true } as const)
    this.#restarted = false
    const known = cursor !== undefined && { cursor }
    return this.#format.batch(value, { offset, upToDate, streamClosed, ...known, ...restarted })
  }

  /** What was collected up to a tail inside a character, which has no offset: it is placed at the last page's end that has one. */
  rest(): T {
    if (this.#held !== undefined) this.#source.commit(this.#held.page, this.#held.content)
    return this.#format.value(this.#state)
  }

  readonly #begin = (page: SourcePage | undefined): Promise<Delivery<T> | undefined> | undefined =>
    this.#open(page) ? this.#read() : undefined

  #open(page: SourcePage | undefined): boolean {
    this.#page = page
    if (page === undefined) return false
    this.#chunk = undefined
    this.#receivedBytes = 0
    this.#deliveredBytes = page.deliveredBytes
    if (page.restarted) {
      // What was kept belongs to the stream that was there before.
      this.#state = this.#kept = this.#format.empty
      this.#restarted = true
    }
    return true
  }

  async #read(): Promise<Delivery<T> | undefined> {
    const source = this.#source
    try {
      for (;;) {
        const page = this.#page
        if (page === undefined) {
          if (this.#open(await source.next())) continue
          return undefined
        }
        const read = this.#addTexts(page) ?? this.#chunk ?? (await page.payload.read())
        // What ended the session in the meantime comes first, and is told by the source.
        if (source.outcome !== undefined) this.#page = undefined
        else if (read.kind === "failed") this.#reject(page, read.failure)
        else {
          const delivery = read.kind === "end" ? this.#end(page) : this.#addBytes(page, read.bytes)
          if (delivery !== undefined) return delivery
        }
      }
    } catch (error) {
      source.fail(error)
      throw error
    }
  }

  /** Adds what SSE brought, which is whole. */
  #addTexts({
    payload: { texts },
    deliveredBytes,
  }: SourcePage): { readonly kind: "end" } | undefined {
    if (texts === undefined || deliveredBytes > 0) return undefined
    this.#receivedBytes = texts.reduce((length, text) => length + text.length, 0)
    this.#add(texts)
    return { kind: "end" }
  }

  #addBytes(page: SourcePage, chunk: Uint8Array): Delivery<T> | undefined {
    let bytes = chunk
    this.#chunk = undefined
    if (chunk.byteLength > MAX_PIECE_BYTES) {
      bytes = chunk.subarray(0, MAX_PIECE_BYTES)
      this.#chunk = { kind: "chunk", bytes: chunk.subarray(MAX_PIECE_BYTES) }
    }
    const skip = page.deliveredBytes - this.#receivedBytes
    this.#receivedBytes += bytes.byteLength
    if (bytes.byteLength > skip) this.#add(skip > 0 ? bytes.subarray(skip) : bytes)
    if (this.#state.size >= this.#mode.partSize) {
      this.#deliveredBytes = this.#receivedBytes
      return { value: this.#take() }
    }
    const { maxPageBytes = Infinity } = this.#source
    if (this.#receivedBytes - this.#deliveredBytes > maxPageBytes) {
      throw pageTooLarge(this.#url, "A page", maxPageBytes)
    }
    return undefined
  }

  #add(part: Part): void {
    try {
      this.#state = this.#format.add(this.#state, part)
    } catch (error) {
      // The text is longer than the engine's strings can be. (Firefox: InternalError)
      const isTooLong = /^(Range|Internal)Error$/.test((error as Error).name)
      throw isTooLong ? pageTooLarge(this.#url, "A page", undefined, error) : error
    }
  }

  #end(page: SourcePage): Delivery<T> | undefined {
    const format = this.#format
    const before = this.#state.size
    const state = format.endPage(this.#state, page, this.#url)
    if ("kind" in state) {
      this.#reject(page, state)
      return undefined
    }
    this.#state = state
    this.#page = undefined
    const empty = this.#receivedBytes === 0 || (format.countsMessages && state.size === before)
    const content = { empty, bytes: this.#receivedBytes }
    const { collects = false, skipsEmpty = false } = this.#mode
    const isAligned = state.pending === undefined
    if (!isAligned || (collects && !page.end.upToDate && !page.end.streamClosed)) {
      this.#kept = state
      if (isAligned) this.#held = { page, content }
      this.#source.hold(page, content)
    } else if (skipsEmpty && state.size === 0) this.#source.commit(page, content)
    else return { value: this.#take(), whole: { page, content } }
    return undefined
  }

  /** What was read goes to the caller, and cannot be taken back. */
  #take(): T {
    const value = this.#format.value(this.#state)
    this.#state = this.#kept = this.#format.rest(this.#state)
    return value
  }

  #reject(page: SourcePage, failure: TransferFailure): void {
    this.#page = undefined
    this.#state = this.#kept
    this.#source.reject(page, failure, this.#deliveredBytes)
  }
}
