import { callObserver, isTestRun, warn } from "../platform/console.ts"
import { describeUrl } from "../protocol/request-url.ts"
import type { SessionSettings, SseFallbackReason, StreamEvent } from "./stream-options.ts"

interface Reporting {
  readonly endpoint: { readonly url: string }
  readonly settings: Pick<SessionSettings, "observe" | "sse">
}

/** Reports what a session does: to `observe`, and to the console what somebody should fix. */
export function reportEvent({ endpoint, settings }: Reporting, event: StreamEvent): void {
  const { observe, sse } = settings
  if (observe !== undefined) callObserver("observe", () => observe(event))
  // A test that deletes streams does so on purpose.
  if (event.kind === "offset-mismatch" && !isTestRun()) {
    warn(
      `${describeUrl(endpoint.url)}: the stored offset ${event.offset} is not the stream's any more (it ends at ${event.nextOffset}). If the ` +
        'stream was deleted and created again, read from "-1".',
    )
  }
  const advice = event.kind === "transport" && event.reason && fallbackAdvice[event.reason]
  if (advice && sse.logWarnings) {
    warn(`${describeUrl(endpoint.url)}: long-poll replaces SSE. ${advice}.`)
  }
}

/** What to tell those who run the servers; empty if there is nothing to fix. */
export const fallbackAdvice: Readonly<Record<SseFallbackReason, string>> = {
  "short-connections": "SSE connections end at once. Check the timeouts of proxies",
  buffered: "A proxy buffers SSE. Turn that off (X-Accel-Buffering: no, proxy_buffering off)",
  silent:
    "SSE is silent. Perhaps a proxy buffers SSE. Turn that off (X-Accel-Buffering: no, proxy_buffering off)",
  failing: "SSE requests fail while others succeed. Check the timeouts of proxies",
  unsupported:
    "SSE requests get no text/event-stream. Check that proxies pass queries and content types on",
  malformed: "SSE events are malformed. Check that proxies pass them on unchanged",
  "lossy-text": "",
}

/** What users see of a response. The response itself would keep its body long after that was read. */
export class ResponseHead {
  readonly status: number
  readonly statusText: string
  /** Or names and values in turn: a session may wait for days, and a platform's Headers takes three times as much. */
  #headers: Headers | readonly string[]

  /** @param stays - whether it may be the last one for long */
  constructor({ status, statusText, headers }: Response, stays: boolean) {
    this.status = status
    this.statusText = statusText
    // What is not the platform's own cannot be made again from its list.
    const isForeign = typeof Headers === "undefined" || !(headers instanceof Headers)
    this.#headers = stays && !isForeign ? [...headers].flat() : headers
  }

  get headers(): Headers {
    if ("get" in this.#headers) return this.#headers
    const headers = new Headers()
    this.#headers.forEach((name, index, fields) => {
      if (index % 2 === 0) headers.append(name, fields[index + 1] ?? "")
    })
    this.#headers = headers
    return headers
  }
}
