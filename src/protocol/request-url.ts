import { toWellFormed } from "../platform/text.ts"
import { DURABLE_STREAM_PROTOCOL_QUERY_PARAMS } from "./names.ts"

/**
 * The URL of one request: the query that the stream's URL brings stays in front, byte for byte (signatures are
 * made over bytes), less the protocol's own names and those that `query` replaces; `query` follows, sorted by
 * name, so that caches see one URL for one read.
 *
 * @param streamUrl - the absolute URL of the stream
 * @param query - parameters to add; undefined ones are left out
 */
export function requestUrl(
  streamUrl: string,
  query: Readonly<Record<string, string | undefined>>,
): string {
  const [, path = "", search = ""] = /^([^?#]*)\??([^#]*)/.exec(streamUrl) ?? []
  const names = Object.keys(query).filter((name) => query[name] !== undefined)
  const parts = names.sort().map((name) => `${encode(name)}=${encode(query[name] ?? "")}`)
  if (/[^?]/.test(search)) {
    const replaced = [...DURABLE_STREAM_PROTOCOL_QUERY_PARAMS, ...names]
    const kept = search.split("&").filter((part) => !replaced.includes(parameterName(part)))
    parts.unshift(...kept)
  }
  return parts.length === 0 ? path : `${path}?${parts.join("&")}`
}

/**
 * A stream's URL as messages may show it: without query, fragment and credentials, which are secrets. In what is not clearly
 * a URL without credentials, they can be anywhere before the last @.
 */
export function describeUrl(url: string): string {
  const [shown = ""] = url.split(/[?#]/, 1)
  const stripped = shown.replace(/^(https?:\/\/)[^/\\]*@/i, "$1")
  const isClear = /^https?:\/\/(\[[\da-f:.]+\]|[^/\\@:[\]\s]+)(:\d*)?(\/|$)/i.test(stripped)
  if (isClear || !url.includes("@")) return stripped
  // Behind a ? or # it can be the query's: then nothing is certain.
  if (url.includes("@", shown.length)) return "a malformed URL"
  return shown.replace(/^(https?:)?[^]*@/i, "$1//")
}

/** The path of a stream on its server, as the headers that name another stream want it. */
export function pathOf(streamUrl: string): string {
  return new URL(streamUrl).pathname
}

/** What a server names an offset or a cursor may hold half of a character, which `encodeURIComponent` throws at. */
function encode(text: string): string {
  return encodeURIComponent(toWellFormed(text))
}

function parameterName(part: string): string {
  const raw = (part.split("=", 1)[0] ?? "").replaceAll("+", " ")
  try {
    return decodeURIComponent(raw)
  } catch {
    // Not percent-encoded UTF-8: then it is none of the protocol's names either.
    return raw
  }
}
