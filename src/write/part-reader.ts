import { DurableStreamError } from "../errors/durable-stream-error.ts"
import { raceAbort } from "../http/abort.ts"
import { byteView } from "../protocol/byte-view.ts"
import type { AppendPart } from "./append-body.ts"
import type { ContentSplitter } from "./content-splitter.ts"
import type { SourceReader } from "./source-reader.ts"

/** Reads a source as parts of request bodies. */
export class PartReader {
  readonly #source: SourceReader
  readonly #splitter: ContentSplitter
  readonly #signal: AbortSignal
  #isFirst = true
  readonly #first: { readonly done: boolean; readonly value?: unknown }
  #isDone = false

  /**
   * @param source - read to its end
   * @param first - what was read from it already
   * @param splitter - makes parts of chunks
   * @param signal - ends every wait for the source
   */
  constructor(
    source: SourceReader,
    first: { readonly done: boolean; readonly value?: unknown },
    splitter: ContentSplitter,
    signal: AbortSignal,
  ) {
    this.#source = source
    this.#first = first
    this.#splitter = splitter
    this.#signal = signal
  }

  /**
   * The next parts, at least one; undefined at the end of the source.
   *
   * @throws the source's own error; DurableStreamError for a chunk that is no content; FetchBackoffAbortError
   */
  async next(): Promise<readonly AppendPart[] | undefined> {
    while (!this.#isDone) {
      const { done, value } = await this.#chunk()
      this.#isDone = done
      const parts = done ? this.#splitter.end() : this.#splitter.push(asContent(value))
      if (parts.length > 0) return parts
    }
    return undefined
  }

  #chunk(): Promise<{ readonly done: boolean; readonly value?: unknown }> {
    if (!this.#isFirst) return raceAbort(this.#source.next(), this.#signal)
    this.#isFirst = false
    return Promise.resolve(this.#first)
  }
}

function asContent(chunk: unknown): string | Uint8Array {
  if (typeof chunk === "string") return chunk
  const bytes = byteView(chunk)
  if (bytes !== undefined) return bytes
  throw new DurableStreamError(
    `A chunk of the source of appendStream() is neither text nor bytes but ${chunk === null ? "null" : typeof chunk}.`,
    "BAD_REQUEST",
  )
}
