import { createEndpoint, type Endpoint } from "../http/endpoint.ts"
import { badOption } from "../http/option-checks.ts"
import { hasProviders } from "../http/request-inputs.ts"
import { callObserver, warn } from "../platform/console.ts"
import { warnIfUsingHttpInBrowser } from "../platform/http-warning.ts"
import { currentOrigin, type Origin } from "../platform/origin.ts"
import { describeUrl } from "../protocol/request-url.ts"
import type { StandardSchemaV1 } from "../protocol/standard-schema.ts"
import { openStream, SessionResponse } from "../read/session-response.ts"
import { sessionSettings, type SessionSettings } from "../read/stream-options.ts"
import type { StreamResponse } from "../read/stream-response.ts"
import type { AloneReason, SharedStreamOptions } from "./shared-stream-options.ts"
import { TabsSource } from "./tabs-source.ts"
import { WIRE_VERSION } from "./wire.ts"

/**
 * Reads a stream over one live connection for all tabs, frames and workers of an origin, and all readers of one program. A
 * browser has six connections to a server over HTTP/1.1; with this, a seventh tab works too.
 *
 * Each reader reads by itself what is stored. After that, one of them, chosen by Web Locks, holds the live connection and sends
 * what arrives to the others over a BroadcastChannel. If it is closed, frozen or hidden, another takes over. The result
 * is that of `stream()`, with the same promises: everything is delivered, once and in order, whatever becomes of the others.
 *
 * A reader reads for itself, as `stream()` does, if `shareKey` is missing where it is required, if the platform has no Web
 * Locks (they need a secure context; Node has them from 24 on) or BroadcastChannel, or if `live` is false.
 *
 * @param options - as for `stream()`, and `shareKey`
 * @returns as `stream()`: a response, once this reader's own first HTTP response has arrived
 * @throws as `stream()` does; what another reader's requests fail with affects only that reader
 * @example
 * ```ts
 * import { sharedStream } from "@durable-streams/client/tabs"
 *
 * const userId = "user-7"
 * const response = await sharedStream<{ text: string }>({
 *   url: "https://streams.example.com/chat/42",
 *   shareKey: userId,
 * })
 * for await (const batch of response.jsonBatches()) {
 *   for (const message of batch.items) console.log(message.text)
 * }
 * ```
 */
export async function sharedStream<TJson = unknown>(
  options:
    SharedStreamOptions | (SharedStreamOptions & { schema: StandardSchemaV1<unknown, TJson> }),
): Promise<StreamResponse<TJson>> {
  return openSharedStream<TJson>(options, currentOrigin())
}

/** {@link sharedStream} in a given origin. */
export async function openSharedStream<TJson>(
  options: SharedStreamOptions,
  origin: Origin | AloneReason,
): Promise<StreamResponse<TJson>> {
  const endpoint = createEndpoint(options)
  const session = sessionSettings(options)
  const { shareKey, observe } = options
  if (shareKey !== undefined && (typeof shareKey !== "string" || shareKey === "")) {
    throw badOption("shareKey", "a string that is not empty", shareKey)
  }
  const alone = aloneReason(endpoint, session, options) ?? origin
  if (typeof alone === "string") {
    if (alone === "no-share-key") warnOfMissingKey(endpoint.url)
    if (observe !== undefined) {
      callObserver("observe", () => observe({ kind: "alone", reason: alone }))
    }
    return openStream<TJson>(endpoint, options)
  }
  warnIfUsingHttpInBrowser(endpoint.url, options.warnOnHttp)
  const key = await alone.digest(sharedBy(endpoint, session, shareKey))
  const name = `durable-streams/${WIRE_VERSION}/${key}`
  const source = new TabsSource({ endpoint, session, observe, origin: alone, name })
  await source.start()
  return new SessionResponse<TJson>(endpoint.url, source, session, endpoint.schema)
}

function aloneReason(
  endpoint: Endpoint,
  { live }: SessionSettings,
  { shareKey, fetch }: SharedStreamOptions,
): AloneReason | undefined {
  if (live === false) return "not-live"
  if (shareKey !== undefined) return undefined
  const isAnonymous = endpoint.fetchOptions.credentials === "omit" && fetch === undefined
  return isAnonymous && !hasProviders(endpoint) ? undefined : "no-share-key"
}

/** Everything that decides what a reader gets, in one order. What a function gives is covered by the key. */
function sharedBy(
  { url, headers, params, fetchOptions }: Endpoint,
  { live, json, maxPageBytes }: SessionSettings,
  shareKey: string | undefined,
): string {
  const inOrder = (entries: readonly (readonly [string, unknown])[]) =>
    entries
      .filter(([, value]) => value !== undefined)
      .map(([name, value]) => [name, typeof value === "function" ? null : value])
      .sort(([a], [b]) => (String(a) < String(b) ? -1 : 1))
  const lowerCase = Object.entries(headers).map(
    ([name, value]) => [name.toLowerCase(), value] as const,
  )
  return JSON.stringify([
    url,
    inOrder(Object.entries(params)),
    inOrder(lowerCase),
    shareKey,
    live,
    json,
    maxPageBytes,
    fetchOptions.credentials,
  ])
}

function warnOfMissingKey(url: string): void {
  warn(
    `A reader of ${describeUrl(url)} shares no connection: set shareKey (the user's or session's id), as the client does not ` +
      'see whose headers or cookies it sends. Or set fetchOptions.credentials to "omit" if it needs none.',
  )
}
