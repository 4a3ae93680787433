import {
  SSE_CLOSED_FIELD,
  SSE_CURSOR_FIELD,
  SSE_OFFSET_FIELD,
  SSE_UP_TO_DATE_FIELD,
} from "../protocol/names.ts"
import { isOffset, type Offset } from "../protocol/offset.ts"
import type { SseEvent } from "./event-parser.ts"

/** Data events and the control event that completes them. */
export interface SsePage {
  /** The data of each event, in order: JSON, text or base64, as the stream's content type says. */
  readonly data: readonly string[]
  readonly offset: Offset
  readonly cursor: string | undefined
  readonly upToDate: boolean
  readonly streamClosed: boolean
}

/**
 * Joins data events with the control event behind them. Data that no control event follows never becomes a page: if
 * the connection ends in between, the server sends it again.
 */
export class SsePageAssembler {
  #rawData: string[] = []

  /** Whether there is data that no control event has followed yet. */
  get isPending(): boolean {
    return this.#rawData.length > 0
  }

  /**
   * Takes the next event and returns the page that it completed. Skips events of other names. `malformed`: a control event
   * that is not a JSON object with an offset.
   */
  take(event: SseEvent): SsePage | "malformed" | undefined {
    if (event.name === "data") this.#rawData.push(event.rawData)
    if (event.name !== "control") return undefined
    const control = parseControl(event.rawData)
    const offset = control?.[SSE_OFFSET_FIELD]
    if (control === undefined || !isOffset(offset)) return "malformed"
    // Servers disagree on the one space that may follow `data:`. Those that never write it leave the spaces that a
    // text begins with unprotected; a control event, whose JSON begins with none, tells which kind this server is.
    const padded = event.rawData.startsWith(" ")
    const data = padded ? this.#rawData.map(withoutPadding) : this.#rawData
    this.#rawData = []
    const cursor = control[SSE_CURSOR_FIELD]
    const streamClosed = control[SSE_CLOSED_FIELD] === true
    return {
      data,
      offset,
      cursor: typeof cursor === "string" && cursor !== "" ? cursor : undefined,
      upToDate: streamClosed || control[SSE_UP_TO_DATE_FIELD] === true,
      streamClosed,
    }
  }
}

function withoutPadding(rawData: string): string {
  const first = rawData.startsWith(" ") ? rawData.slice(1) : rawData
  return first.includes("\n ") ? first.replaceAll("\n ", "\n") : first
}

function parseControl(text: string): Record<string, unknown> | undefined {
  try {
    const control: unknown = JSON.parse(text)
    // An object of unknown fields; each is checked where it is read.
    return typeof control === "object" && control !== null
      ? (control as Record<string, unknown>)
      : undefined
  } catch {
    return undefined
  }
}
