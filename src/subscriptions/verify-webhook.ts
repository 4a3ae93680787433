import { badOption, checkFunction } from "../http/option-checks.ts"
import { DurableStreamError } from "../errors/durable-stream-error.ts"
import { raceAbort } from "../http/abort.ts"
import { Deadline } from "../http/deadline.ts"
import { decodeBase64 } from "../platform/base64.ts"
import { monotonicMs } from "../platform/clock.ts"
import { encodeUtf8 } from "../platform/text.ts"
import { joinBytes } from "../protocol/bytes.ts"
import { describeUrl } from "../protocol/request-url.ts"
import { parseJson, readBytes } from "./read-bytes.ts"
import { parseClaimedStreams, isJsonObject, type ClaimedStream } from "./subscription.ts"
import { StreamRoot, type SubscriptionsOptions } from "./subscriptions-request.ts"

/** How {@link verifyWebhook} verifies. */
export interface VerifyWebhookOptions extends Pick<SubscriptionsOptions, "root" | "fetch"> {
  /** The subscription's id. A request for another one is not verified. */
  subscription: string
  /**
   * Where the server publishes its keys. Never taken from a request.
   *
   * @default `<root>/__ds/jwks.json`
   */
  jwksUrl?: string | URL | undefined
}

/** A wake that the server has sent to a webhook. */
export interface Wake {
  subscriptionId: string
  wakeId: string
  generation: number
  streams: ClaimedStream[]
  /** Authorizes the callback of this wake, and nothing else. A secret. */
  callbackToken: string
}

/**
 * What a verification came to.
 *
 * - `rejected`: the request is not a wake of this subscription. Respond with 401, without a reason.
 * - `unavailable`: nothing is known, because the keys could not be fetched, or the platform cannot verify Ed25519. Respond with
 *   503, and the server tries again.
 */
export type WebhookVerification =
  | { readonly kind: "verified"; readonly wake: Wake }
  | { readonly kind: "rejected" }
  | { readonly kind: "unavailable"; readonly error: unknown }

/** A request whose time differs by more than this is a replay. */
const MAX_AGE_SECONDS = 300

/** Keys are kept for as long as the server's `max-age` says (five minutes), whatever happens to a clock. */
const KEYS_MAX_AGE_MS = 300_000

/** Keys that could not be fetched again stay in use for so long: a short outage rejects nobody. */
const KEYS_MAX_STALE_MS = 3_600_000

/** Unknown key ids, which anybody can send, lead to no more than one request in this time. */
const REFETCH_INTERVAL_MS = 30_000

/** The same while there are no keys at all. */
const RETRY_INTERVAL_MS = 1_000

const KEYS_TIMEOUT_MS = 10_000

/** A webhook's body is a list of streams, not a document. */
const MAX_BODY_BYTES = 16 * 1024 * 1024
const BODY_TIMEOUT_MS = 30_000

const MAX_KEYS_BYTES = 1024 * 1024

/** The keys of one URL. */
interface KeySet {
  keys: ReadonlyMap<string, CryptoKey>
  /** When they were fetched, and when that was last tried; on the monotonic clock. */
  fetchedAtMs: number
  triedAtMs: number
  /** Why the last attempt failed. */
  error: Error | undefined
  pending: Promise<void> | undefined
}

/** By URL: `verifyWebhook` is called for each request, and must not fetch the keys each time. */
const keySets = new Map<string, KeySet>()

/**
 * Verifies that a request is a wake of the subscription, sent by its server: the Ed25519 signature over the raw body, a time
 * within 300 s of now, and the subscription's id. Needs WebCrypto with Ed25519 (Node 20, Bun, Deno, workerd, browsers).
 *
 * @param request - its body is read here
 * @throws DurableStreamError `BAD_REQUEST` that names the option
 * @example
 * ```ts no-run
 * // Runs in a server that receives webhooks.
 * import { verifyWebhook } from "@durable-streams/client/subscriptions"
 *
 * export async function receive(request: Request): Promise<Response> {
 *   const verification = await verifyWebhook(request, {
 *     root: "https://streams.example.com/v1/stream",
 *     subscription: "orders",
 *   })
 *   if (verification.kind === "unavailable") return new Response(null, { status: 503 })
 *   if (verification.kind === "rejected") return new Response(null, { status: 401 })
 *   console.log(verification.wake.streams)
 *   return new Response(null, { status: 204 })
 * }
 * ```
 */
export async function verifyWebhook(
  request: Request,
  options: VerifyWebhookOptions,
): Promise<WebhookVerification> {
  return createVerifier(options)(request)
}

/** Checks the options once; see {@link verifyWebhook}. */
export function createVerifier(
  options: VerifyWebhookOptions,
): (request: Request) => Promise<WebhookVerification> {
  const { root, subscription, jwksUrl } = options
  // JavaScript callers can give anything.
  if (typeof (subscription as unknown) !== "string" || subscription === "") {
    throw badOption("subscription", "the name of a subscription", subscription)
  }
  checkFunction("fetch", options.fetch)
  const keysUrl = String(jwksUrl ?? new StreamRoot({ root }).routeUrl(["jwks.json"]))
  if (!/^https?:/i.test(keysUrl)) throw badOption("jwksUrl", "an absolute URL", keysUrl)
  const fetchKeys = options.fetch ?? ((url, init) => globalThis.fetch(url, init))
  return async (request) => {
    const signature = parseSignature(request.headers.get("webhook-signature"))
    if (signature === undefined) return rejected
    const ageSeconds = Math.abs(Date.now() / 1000 - signature.timeSeconds)
    if (!(ageSeconds <= MAX_AGE_SECONDS)) return rejected
    const body = await readBody(request)
    if (body === undefined) return rejected
    try {
      const key = await keyFor(signature.keyId, keysUrl, fetchKeys)
      if (key === undefined || !(await isSignedBy(key, signature, body))) return rejected
    } catch (error) {
      return { kind: "unavailable", error }
    }
    const wake = parseWake(body)
    return wake?.subscriptionId === subscription ? { kind: "verified", wake } : rejected
  }
}

const rejected: WebhookVerification = { kind: "rejected" }

interface Signature {
  readonly timeSeconds: number
  /** What is signed before the body. */
  readonly prefix: Uint8Array
  readonly keyId: string
  readonly bytes: Uint8Array
}

/** `t=<unix seconds>,kid=<key id>,ed25519=<base64url>` */
function parseSignature(header: string | null): Signature | undefined {
  const fields = new Map<string, string>()
  for (const part of header?.split(",") ?? []) {
    const separator = part.indexOf("=")
    const name = part.slice(0, separator).trim()
    // A repeated field would leave open which one was signed.
    if (separator < 1 || fields.has(name)) return undefined
    fields.set(name, part.slice(separator + 1).trim())
  }
  const time = fields.get("t") ?? ""
  const keyId = fields.get("kid") ?? ""
  const bytes = decodeBase64Url(fields.get("ed25519") ?? "")
  if (!/^\d{1,15}$/.test(time) || keyId === "" || bytes?.byteLength !== 64) return undefined
  return { timeSeconds: Number(time), prefix: encodeUtf8(`${time}.`), keyId, bytes }
}

/** Unpadded. */
function decodeBase64Url(text: string): Uint8Array | undefined {
  if (!/^[\w-]+$/.test(text)) return undefined
  const base64 = text.replace(/-/g, "+").replace(/_/g, "/")
  return decodeBase64(base64.padEnd(Math.ceil(base64.length / 4) * 4, "="))
}

/** The whole body; undefined if it is too long or too slow, broke off, or was read before. */
async function readBody(request: Request): Promise<Uint8Array | undefined> {
  const deadline = new Deadline(undefined, BODY_TIMEOUT_MS, () => new Error("the body is too slow"))
  try {
    if (request.body === null || request.bodyUsed) return undefined
    return await readBytes(request, MAX_BODY_BYTES, deadline.signal)
  } catch {
    return undefined
  } finally {
    deadline.end()
  }
}

async function isSignedBy(
  key: CryptoKey,
  { prefix, bytes }: Signature,
  body: Uint8Array,
): Promise<boolean> {
  // The library's type wants to rule out shared memory, which none of these is.
  const signed = joinBytes([prefix, body]) as Uint8Array<ArrayBuffer>
  const signature = bytes as Uint8Array<ArrayBuffer> // As above.
  return crypto.subtle.verify("Ed25519", key, signature, signed)
}

/**
 * @returns undefined for a key id that the server does not publish
 * @throws what keeps the keys from being known
 */
async function keyFor(
  keyId: string,
  url: string,
  fetchKeys: typeof globalThis.fetch,
): Promise<CryptoKey | undefined> {
  let set = keySets.get(url)
  if (set === undefined) {
    set = {
      keys: new Map(),
      fetchedAtMs: -Infinity,
      triedAtMs: -Infinity,
      error: undefined,
      pending: undefined,
    }
    keySets.set(url, set)
  }
  const now = monotonicMs()
  const isFresh = now - set.fetchedAtMs < KEYS_MAX_AGE_MS
  const intervalMs = set.keys.size > 0 ? REFETCH_INTERVAL_MS : RETRY_INTERVAL_MS
  const mayFetch = now - set.triedAtMs >= intervalMs
  if (!(isFresh && set.keys.has(keyId)) && (mayFetch || set.pending !== undefined)) {
    set.pending ??= refresh(set, url, fetchKeys)
    await set.pending
  }
  const isUsable = monotonicMs() - set.fetchedAtMs < KEYS_MAX_STALE_MS
  const key = isUsable ? set.keys.get(keyId) : undefined
  if (key === undefined && set.error !== undefined) throw set.error
  return key
}

/** Fetches the keys again. If that fails, the error is kept beside the keys of before. */
async function refresh(
  set: KeySet,
  url: string,
  fetchKeys: typeof globalThis.fetch,
): Promise<void> {
  const reason = `no keys within ${KEYS_TIMEOUT_MS} ms`
  const deadline = new Deadline(undefined, KEYS_TIMEOUT_MS, () => keysError(url, reason))
  try {
    set.keys = await raceAbort(fetchKeySet(url, fetchKeys, deadline.signal), deadline.signal)
    set.fetchedAtMs = monotonicMs()
    set.error = undefined
  } catch (error) {
    set.error = deadline.timeout ?? asError(error)
  } finally {
    deadline.end()
    set.triedAtMs = monotonicMs()
    set.pending = undefined
  }
}

async function fetchKeySet(
  url: string,
  fetchKeys: typeof globalThis.fetch,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, CryptoKey>> {
  const response = await fetchKeys(url, {
    method: "GET",
    headers: { accept: "application/jwk-set+json, application/json" },
    // A redirect could lead to anybody's keys. Not "error", which workerd does not know.
    redirect: "manual",
    signal,
  })
  if (!response.ok || response.redirected) {
    throw keysError(
      url,
      `the response has the status ${response.status}; redirects are not followed`,
    )
  }
  const bytes = await readBytes(response, MAX_KEYS_BYTES, signal)
  const json = parseJson(bytes)
  if (!isJsonObject(json) || !Array.isArray(json["keys"])) {
    throw keysError(url, "the response is not a set of keys")
  }
  const keys = new Map<string, CryptoKey>()
  // Array.isArray says no more than that it is a list.
  for (const jwk of json["keys"] as readonly unknown[]) {
    if (!isJsonObject(jwk)) continue
    const { kty, crv, kid, x } = jwk
    if (kty !== "OKP" || crv !== "Ed25519" || typeof kid !== "string" || typeof x !== "string")
      continue
    const key = await importKey({ kty, crv, x })
    if (key !== undefined) keys.set(kid, key)
  }
  return keys
}

/** @throws DurableStreamError if the platform has no Ed25519 */
async function importKey(jwk: JsonWebKey): Promise<CryptoKey | undefined> {
  // Node 18 and pages without TLS have none.
  const { subtle } = (globalThis.crypto as Crypto | undefined) ?? {}
  try {
    if (subtle !== undefined)
      return await subtle.importKey("jwk", jwk, "Ed25519", false, ["verify"])
  } catch (error) {
    // One key that is malformed does not hide the others.
    if ((error as { readonly name?: unknown }).name !== "NotSupportedError") return undefined
  }
  throw new DurableStreamError(
    "This platform has no WebCrypto with Ed25519, which webhooks are signed with. Use Node 20 or newer, Bun, Deno or workerd.",
    "BAD_REQUEST",
  )
}

function keysError(url: string, reason: string): DurableStreamError {
  return new DurableStreamError(
    `The keys of webhooks could not be fetched from ${describeUrl(url)}: ${reason}.`,
    "NETWORK",
  )
}

function parseWake(body: Uint8Array): Wake | undefined {
  const json = parseJson(body)
  if (!isJsonObject(json)) return undefined
  const { subscription_id, wake_id, generation, streams, callback_token } = json
  if (typeof subscription_id !== "string" || typeof wake_id !== "string") return undefined
  if (typeof generation !== "number" || typeof callback_token !== "string") return undefined
  return {
    subscriptionId: subscription_id,
    wakeId: wake_id,
    generation,
    streams: parseClaimedStreams(streams),
    callbackToken: callback_token,
  }
}

function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown))
}
