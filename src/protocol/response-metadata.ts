import {
  STREAM_CLOSED_HEADER,
  STREAM_CURSOR_HEADER,
  STREAM_OFFSET_HEADER,
  STREAM_UP_TO_DATE_HEADER,
} from "./names.ts"
import type { Offset } from "./offset.ts"

/** What is used of a response's headers. Not every response that a caller's fetch makes up has more. */
export interface ResponseHeaders {
  get(name: string): string | null | undefined
}

/** What the headers of a response to a read say about its place in the stream. */
export interface ReadMetadata {
  /** Where the next read starts; missing if a server or a proxy left it out. */
  readonly offset: Offset | undefined
  readonly cursor: string | undefined
  /** True also if only the closure is said: the end of a closed stream is its tail. */
  readonly upToDate: boolean
  readonly streamClosed: boolean
}

/** Reads the protocol's headers of a response to a read. */
export function readMetadata(headers: ResponseHeaders): ReadMetadata {
  const streamClosed = saysClosed(headers)
  return {
    offset: headerOf(headers, STREAM_OFFSET_HEADER),
    cursor: headerOf(headers, STREAM_CURSOR_HEADER),
    upToDate: streamClosed || hasHeader(headers, STREAM_UP_TO_DATE_HEADER),
    streamClosed,
  }
}

/**
 * The value of a header that holds one, undefined if it is missing or empty. A proxy can send a header twice, which `fetch`
 * joins (`5, 5`): equal values are one.
 */
export function headerOf(headers: ResponseHeaders, name: string): string | undefined {
  const value = headers.get(name)?.trim()
  return (value?.includes(",") ? value.replace(/^(.+?)(\s*,\s*\1)+$/, "$1") : value) || undefined
}

/** Whether a header is there, whatever it says. */
export function hasHeader(headers: ResponseHeaders, name: string): boolean {
  return typeof headers.get(name) === "string"
}

/** All headers, names in lower case; none if a made-up response cannot list them. */
export function plainHeaders(headers: Partial<Headers> | undefined): Record<string, string> {
  return Object.fromEntries(headers?.entries?.() ?? [])
}

/** Whether a response says that the stream is closed. Any value but `true` means that it does not. */
export function saysClosed(headers: ResponseHeaders): boolean {
  return headerOf(headers, STREAM_CLOSED_HEADER)?.toLowerCase() === "true"
}

/** A header that holds a non-negative integer (an epoch, a sequence number, a TTL), else undefined. */
export function integerHeader(headers: ResponseHeaders, name: string): number | undefined {
  const value = headerOf(headers, name) ?? ""
  const number = Number(value)
  return /^\d+$/.test(value) && Number.isSafeInteger(number) ? number : undefined
}
