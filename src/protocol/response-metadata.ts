import {
  STREAM_CLOSED_HEADER,
  STREAM_CURSOR_HEADER,
  STREAM_OFFSET_HEADER,
  STREAM_UP_TO_DATE_HEADER,
} from "./names.ts"
import type { Offset } from "./offset.ts"

/** What the headers of an answer to a read say about its place in the stream. */
export interface ReadMetadata {
  /** Where the next read starts; missing where a server or a proxy left it out. */
  readonly offset: Offset | undefined
  readonly cursor: string | undefined
  /** True also where only the closure is said: the end of a closed stream is its tail. */
  readonly upToDate: boolean
  readonly streamClosed: boolean
}

/** Reads the protocol's headers of an answer to a read. */
export function readMetadata(headers: Headers): ReadMetadata {
  const streamClosed = saysClosed(headers)
  return {
    offset: headers.get(STREAM_OFFSET_HEADER) || undefined,
    cursor: headers.get(STREAM_CURSOR_HEADER) || undefined,
    upToDate: streamClosed || hasHeader(headers, STREAM_UP_TO_DATE_HEADER),
    streamClosed,
  }
}

/** Whether a header is there, whatever it says. Not every answer that a caller's fetch makes up has more than `get`. */
export function hasHeader(headers: Pick<Headers, "get">, name: string): boolean {
  return typeof headers.get(name) === "string"
}

/** All headers, names in lower case; none where a made-up answer cannot list them. */
export function plainHeaders(headers: Headers): Record<string, string> {
  // The platform's type says that every answer can.
  const canList = typeof (headers as Partial<Headers>).entries === "function"
  return canList ? Object.fromEntries(headers.entries()) : {}
}

/** Whether an answer says that the stream is closed. Any value but `true` means that it does not. */
export function saysClosed(headers: Headers): boolean {
  return headers.get(STREAM_CLOSED_HEADER)?.trim().toLowerCase() === "true"
}

/** A header that holds a non-negative integer (an epoch, a sequence number, a TTL), else undefined. */
export function integerHeader(headers: Headers, name: string): number | undefined {
  const value = headers.get(name)?.trim()
  if (value === undefined || !/^\d+$/.test(value)) return undefined
  const number = Number(value)
  return Number.isSafeInteger(number) ? number : undefined
}
