import { toWellFormed } from "../platform/text.ts"
import { DURABLE_STREAM_PROTOCOL_QUERY_PARAMS } from "./names.ts"

/**
 * The URL of one request: the query that the stream's URL brings stays in front, byte for byte (signatures are
 * made over bytes), less the protocol's own names and those that `query` sets anew; `query` follows, sorted by
 * name, so that caches see one URL for one read.
 *
 * @param streamUrl - the absolute URL of the stream
 * @param query - parameters to add; undefined ones are left out
 */
export function requestUrl(
  streamUrl: string,
  query: Readonly<Record<string, string | undefined>>,
): string {
  const { path, search } = splitUrl(streamUrl)
  const added = Object.entries(query)
    .filter((entry): entry is [string, string] => entry[1] !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
  const replaced = new Set(added.map(([name]) => name))
  const kept =
    search === ""
      ? []
      : search.split("&").filter((part) => {
          const name = parameterName(part)
          return !DURABLE_STREAM_PROTOCOL_QUERY_PARAMS.includes(name) && !replaced.has(name)
        })
  const parts = [...kept, ...added.map(([name, value]) => `${encode(name)}=${encode(value)}`)]
  return parts.length === 0 ? path : `${path}?${parts.join("&")}`
}

/**
 * A stream's URL as messages may show it: without query, fragment and credentials, which are secrets. In what is not clearly
 * a URL without credentials, they can be anywhere before the last @.
 */
export function describeUrl(url: string): string {
  const shown = url.split(/[?#]/, 1)[0] ?? ""
  const wellFormed =
    /^(https?:\/\/)(?:[^/\\]*@)?((?:\[[\da-f:.]+\]|[^/\\@:[\]\s]+)(?::\d*)?(?:\/.*)?)$/i.exec(shown)
  if (wellFormed !== null) return `${wellFormed[1] ?? ""}${wellFormed[2] ?? ""}`
  const end = url.lastIndexOf("@")
  if (end === -1) return shown
  // Behind a ? or # it can be the query's: then nothing is certain.
  const scheme = /^https?:/i.exec(url)?.[0] ?? ""
  return end < shown.length ? `${scheme}//${shown.slice(end + 1)}` : "a malformed URL"
}

/** The path of a stream on its server, as the headers that name another stream want it. */
export function pathOf(streamUrl: string): string {
  return new URL(streamUrl).pathname
}

function splitUrl(url: string): { path: string; search: string } {
  const withoutFragment = url.split("#", 1)[0] ?? ""
  const mark = withoutFragment.indexOf("?")
  if (mark === -1) return { path: withoutFragment, search: "" }
  return { path: withoutFragment.slice(0, mark), search: withoutFragment.slice(mark + 1) }
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
