import type { PageMark } from "../read/page.ts"
import type { Offset } from "../protocol/offset.ts"

/** Changes with every change of the messages. Participants of different versions do not hear each other. */
export const WIRE_VERSION = 1

/** Larger pages are announced, not broadcast: a channel has no backpressure. In bytes, or characters of JSON. */
export const MAX_SHARED_SIZE = 64 * 1024

/** The content of a page: JSON documents, or bytes. */
export type SharedContent = readonly string[] | Uint8Array

/** A page of the holder, for all participants. */
export interface SharedPage {
  readonly start: Offset
  readonly end: PageMark
  /** Missing if the page is announced: a follower reads it for itself. */
  readonly content?: SharedContent | undefined
}

/** Why a participant holds the connection: the lock was free, its holder was gone, or was silent and lost it. */
export type HolderReason = "first" | "successor" | "silent-holder"

/** Which connection a message is from. */
export interface FeedName {
  readonly holder: string
  /** New for each connection. */
  readonly feed: string
  readonly reason: HolderReason
}

/** What participants say to each other. */
export type Message =
  | ({ readonly kind: "page" } & FeedName & SharedPage)
  /** How far the holder is. */
  | ({ readonly kind: "offset"; readonly offset: Offset; readonly isHidden: boolean } & FeedName)
  /** The holder gives the lock up. */
  | ({ readonly kind: "left" } & FeedName)
  /** A follower wants the pages behind an offset, or to know how far the holder is. */
  | { readonly kind: "want"; readonly from: Offset; readonly isVisible: boolean }

/** The message as it goes over the channel. */
export function toWire(message: Message): object {
  return { version: WIRE_VERSION, ...message }
}

/** What came over the channel, which any script of the origin can write to; undefined if it is no message of this version. */
export function fromWire(data: unknown): Message | undefined {
  if (!isRecord(data) || data["version"] !== WIRE_VERSION) return undefined
  const { kind, offset, from } = data
  const isFeed = isString(data["holder"]) && isString(data["feed"]) && isString(data["reason"])
  const isKnown =
    (kind === "want" && isString(from)) ||
    (kind === "page" && isFeed && isPage(data)) ||
    (kind === "offset" && isFeed && isString(offset)) ||
    (kind === "left" && isFeed)
  // Its fields were checked.
  return isKnown ? (data as unknown as Message) : undefined
}

function isPage({ start, end, content }: Record<string, unknown>): boolean {
  const isContent =
    content === undefined ||
    ArrayBuffer.isView(content) ||
    (Array.isArray(content) && content.every(isString))
  return isString(start) && isPageMark(end) && isContent
}

function isPageMark(end: unknown): boolean {
  if (!isRecord(end)) return false
  const { offset, cursor, upToDate, streamClosed } = end
  const isPlaced = isString(offset) && (cursor === undefined || isString(cursor))
  return isPlaced && typeof upToDate === "boolean" && typeof streamClosed === "boolean"
}

function isString(value: unknown): value is string {
  return typeof value === "string"
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null
}

/** The size of a page's content. */
export function sizeOf(content: SharedContent | undefined): number {
  if (content === undefined) return 0
  if (!isDocuments(content)) return content.byteLength
  return content.reduce((size, document) => size + document.length, 0)
}

/** Whether a page's content is JSON. */
export function isDocuments(content: SharedContent): content is readonly string[] {
  return Array.isArray(content)
}
