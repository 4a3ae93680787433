/** What a response means to a client, in a form in which two servers' responses can be compared. */
export interface ResponseSummary {
  status: number
  headers: Record<string, string>
  content: unknown
}

const COMPARED_HEADERS = [
  "content-type",
  "stream-up-to-date",
  "stream-closed",
  "producer-epoch",
  "producer-seq",
  "producer-expected-seq",
  "producer-received-seq",
  "stream-ttl",
  "stream-expires-at",
  "stream-sse-data-encoding",
]
/** Headers whose values are the server's own affair: that they are there is what counts. */
const PRESENCE_HEADERS = ["etag", "stream-cursor", "location", "stream-next-offset"]

/** Sum up a response's status, headers and body bytes. */
export function summarize(
  status: number,
  header: (name: string) => string | undefined,
  body: Uint8Array,
): ResponseSummary {
  const headers: Record<string, string> = {}
  for (const name of COMPARED_HEADERS) {
    const value = header(name)
    if (value !== undefined) headers[name] = value.toLowerCase()
  }
  for (const name of PRESENCE_HEADERS) if (header(name) !== undefined) headers[name] = "present"
  if (status >= 400) return { status, headers, content: "an error's text" }
  const base64 = headers["stream-sse-data-encoding"] === "base64"
  return { status, headers, content: contentOf(headers["content-type"] ?? "", base64, body) }
}

/** True once the events so far hold a control event that is up to date or closed. */
export function endsLiveRead(text: string): boolean {
  return /"(upToDate|streamClosed)":\s*true[^\n]*\n\n/.test(text)
}

/** The offset that a response names last, in its headers or in its control events. */
export function lastOffset(header: string | undefined, body: Uint8Array): string | undefined {
  if (header !== undefined) return header
  const found = [...new TextDecoder().decode(body).matchAll(/"streamNextOffset":("[^\n]*?")[,}]/g)]
  const last = found.at(-1)?.[1]
  return last === undefined ? undefined : String(JSON.parse(last))
}

function contentOf(contentType: string, base64: boolean, body: Uint8Array): unknown {
  const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(body)
  if (contentType.startsWith("text/event-stream")) return liveContent(text, base64)
  if (text !== "" && contentType === "application/json") return JSON.parse(text) as unknown
  return text
}

/** Data of the events put together, so that how a server groups them does not count, and the last control's flags. */
function liveContent(text: string, base64: boolean): unknown {
  let data = ""
  let last: Record<string, unknown> = {}
  for (const block of text.split("\n\n")) {
    const lines = block.split("\n")
    const value = lines
      .filter((line) => line.startsWith("data:"))
      // Neither server writes the space that may follow the colon.
      .map((line) => line.slice("data:".length))
      .join("\n")
    if (lines[0] === "event: data") data += base64 ? atob(value) : value
    if (lines[0] === "event: control") last = JSON.parse(value) as Record<string, unknown>
  }
  return {
    data: data.replaceAll("][", ","),
    upToDate: last["upToDate"] === true,
    streamClosed: last["streamClosed"] === true,
    cursor: last["streamCursor"] !== undefined,
  }
}
