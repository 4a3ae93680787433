import { DurableStreamError } from "../../errors/durable-stream-error.ts"
import { describeUrl } from "../../protocol/request-url.ts"
import { NOW_OFFSET, START_OFFSET } from "../../protocol/offset.ts"
import { endOf, type Page, type PageMark } from "../page.ts"
import { joinLists } from "../join-lists.ts"
import { readParts, readWhole, type BrokenPayload, type Payload } from "../payload.ts"
import type { Session } from "../session.ts"

/** A batch and what the session is told once the consumer has it. */
export interface Delivery<TBatch> {
  readonly batch: TBatch
  /** Where the batch ends. Without the page's payload, which is not to be kept for as long as the place is. */
  readonly mark: PageMark
  /** Whether the page held nothing. */
  readonly empty: boolean
}

/**
 * Takes a payload whole.
 *
 * @param moved - whether the page ends somewhere else than it began, as far as its offsets tell
 */
export type TakePayload<T> = (
  payload: Payload,
  moved: boolean,
) => Promise<{ readonly kind: "whole"; readonly value: T; readonly empty: boolean } | BrokenPayload>

/**
 * Gives the next batch; undefined at the end. Rejects with what ended the session.
 * Whoever gets a batch says `session.delivered` once it is the consumer's.
 */
export type BatchSource<TBatch> = () => Promise<Delivery<TBatch> | undefined>

/**
 * Gives page after page, each whole. Pages that break off never show here: the session asks for them again.
 *
 * @param take - takes the payload of a page
 * @param toBatch - makes a batch of what was taken
 */
export function pageSource<T, TBatch>(
  session: Session,
  take: TakePayload<T>,
  toBatch: (value: T, mark: PageMark) => TBatch,
): BatchSource<TBatch> {
  const takePage = (page: Page | undefined) => takeWhole(session, page, take, toBatch)
  // Not awaited: a session waits here most of its life, and an async function that waits takes more than twice as much.
  return () => session.next().then(takePage)
}

async function takeWhole<T, TBatch>(
  session: Session,
  first: Page | undefined,
  take: TakePayload<T>,
  toBatch: (value: T, mark: PageMark) => TBatch,
): Promise<Delivery<TBatch> | undefined> {
  for (let page = first; page !== undefined; page = await session.next()) {
    const { offset } = session.state
    const moved = page.offset !== offset && offset !== START_OFFSET && offset !== NOW_OFFSET
    const taken = await take(page.payload, moved)
    if (taken.kind === "whole") {
      const { cursor, upToDate, streamClosed } = page
      const { value, empty } = taken
      const mark = endOf({ offset: page.offset, cursor, upToDate, streamClosed }, offset, empty)
      return { batch: toBatch(value, mark), mark, empty }
    }
    session.broken(taken, 0)
  }
  return undefined
}

/** Takes a payload as bytes, in the parts in which they came: who joins many pages copies them once. */
export async function takeParts(payload: Payload): ReturnType<TakePayload<readonly Uint8Array[]>> {
  const read = await readParts(payload)
  if (read.kind === "broken") return read
  return { kind: "whole", value: read.parts, empty: read.parts.length === 0 }
}

/** Takes a payload as bytes: one copy, as the network brings a page in parts (64 KiB in Node) and the consumer gets one. */
export async function takeBytes(payload: Payload): ReturnType<TakePayload<Uint8Array>> {
  const whole = await readWhole(payload)
  if (whole.kind === "broken") return whole
  const { bytes } = whole
  return { kind: "whole", value: bytes, empty: bytes.byteLength === 0 }
}

/**
 * Takes a payload as the messages of a JSON stream. Elements are not checked to be `T`: that is the caller's word.
 *
 * A page costs one copy (its parts into one), one decoding and one parse, whatever it holds: what `response.json()` does.
 * A message costs what the parse makes of it and nothing else. SSE brings text, which is parsed as it is.
 */
export function takeJson<T>(url: string): TakePayload<T[]> {
  return async (payload, moved) => {
    let documents = payload.texts
    if (documents === undefined) {
      const whole = await readWhole(payload)
      if (whole.kind === "broken") return whole
      documents = [new TextDecoder().decode(whole.bytes)]
      // An empty page is `[]`; some servers leave it out. Where the page moved there was something that got lost.
      if (moved && payload.bodiless === undefined && documents.every(isBlank)) {
        return { kind: "broken", damage: "malformed", error: parseError(url, undefined) }
      }
    }
    try {
      // The stream's messages are of the type that the caller says they are.
      const items = parseDocuments(documents) as T[]
      return { kind: "whole", value: items, empty: items.length === 0 }
    } catch (cause) {
      return { kind: "broken", damage: "malformed", error: parseError(url, cause) }
    }
  }
}

/** A page is an array of messages. One that holds a single other value is taken for that message. */
function parseDocuments(documents: readonly string[]): unknown[] {
  return joinLists(documents.filter((document) => !isBlank(document)).map(parseDocument))
}

/** An empty page may come with a line end. What is longer holds something, and is not searched. */
function isBlank(document: string): boolean {
  return document.length <= 2 && document.trim() === ""
}

function parseDocument(document: string): unknown[] {
  const value: unknown = JSON.parse(document)
  // The guard finds an array of any.
  return Array.isArray(value) ? (value as unknown[]) : [value]
}

function parseError(url: string, cause: unknown): DurableStreamError {
  return new DurableStreamError(
    `A page of ${describeUrl(url)} is no JSON.`,
    "PARSE_ERROR",
    undefined,
    undefined,
    { cause },
  )
}
