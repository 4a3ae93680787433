import {
  SSE_CLOSED_FIELD,
  SSE_CURSOR_FIELD,
  SSE_OFFSET_FIELD,
  SSE_UP_TO_DATE_FIELD,
} from "../protocol/names.ts"
import type { Offset } from "../protocol/offset.ts"
import { isWellFormed } from "../protocol/well-formed.ts"
import type { SseEvent } from "./event-parser.ts"

/** Data events and the control event that makes them the client's. */
export interface SsePage {
  /** The data of each event, in order: JSON, text or base64, as the stream's content type says. */
  readonly data: readonly string[]
  readonly offset: Offset
  readonly cursor: string | undefined
  readonly upToDate: boolean
  readonly streamClosed: boolean
}

/** What an event completed: nothing yet, a page, or nonsense. */
export type SseArrival =
  | { readonly kind: "nothing" }
  | { readonly kind: "page"; readonly page: SsePage }
  | { readonly kind: "malformed"; readonly what: string }

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

  /** Takes the next event and says what it completed. Events of other names are passed over. */
  take(event: SseEvent): SseArrival {
    if (event.name === "data") this.#rawData.push(event.rawData)
    if (event.name !== "control") return { kind: "nothing" }
    const control = parseControl(event.rawData)
    if (control === undefined)
      return { kind: "malformed", what: "a control event that is no JSON object" }
    const offset = control[SSE_OFFSET_FIELD]
    // JSON can write what no URL can ask for.
    if (typeof offset !== "string" || offset === "" || !isWellFormed(offset)) {
      return { kind: "malformed", what: `a control event without a sound ${SSE_OFFSET_FIELD}` }
    }
    // Servers disagree on the one space that may follow `data:`. Those that never write it leave the spaces that a
    // text begins with unprotected; a control event, whose JSON begins with none, tells which kind this server is.
    const padded = event.rawData.startsWith(" ")
    const data = padded ? this.#rawData.map(withoutPadding) : this.#rawData
    this.#rawData = []
    const cursor = control[SSE_CURSOR_FIELD]
    const streamClosed = control[SSE_CLOSED_FIELD] === true
    return {
      kind: "page",
      page: {
        data,
        offset,
        cursor: typeof cursor === "string" && cursor !== "" ? cursor : undefined,
        upToDate: streamClosed || control[SSE_UP_TO_DATE_FIELD] === true,
        streamClosed,
      },
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
