import { badOption } from "../errors/bad-option.ts"
import { checkFunction } from "../http/option-checks.ts"
import { monotonicMs } from "../platform/clock.ts"
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
 * What a verification came to. `unavailable`: the keys could not be fetched, so that nothing is known; respond with 503, and
 * the server tries again.
 */
export type WebhookVerification =
  | { readonly kind: "verified"; readonly wake: Wake }
  | { readonly kind: "rejected" }
  | { readonly kind: "unavailable" }

/** A request whose time differs by more than this is a replay. */
const MAX_AGE_SECONDS = 300

/** Keys are kept for as long as the server's `max-age` says (five minutes), whatever happens to a clock. */
const KEYS_MAX_AGE_MS = 300_000

/** Unknown key ids, which anybody can send, lead to no more than one request in this time. */
const REFETCH_INTERVAL_MS = 30_000

const KEYS_TIMEOUT_MS = 10_000

/** A webhook's body is a list of streams, not a document. */
const MAX_BODY_BYTES = 16 * 1024 * 1024

interface KeySet {
  keys: ReadonlyMap<string, CryptoKey>
  fetchedAtMs: number
  pending: Promise<boolean> | undefined
}

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
  if (typeof (subscription as unknown) !== "string" || subscription === "") {
    throw badOption("subscription", "the name of a subscription", subscription)
  }
  checkFunction("fetch", options.fetch)
  const keysUrl = String(jwksUrl ?? new StreamRoot({ root }).routeUrl(["jwks.json"]))
  const fetchKeys = options.fetch ?? ((url, init) => globalThis.fetch(url, init))
  return async (request) => {
    const signature = parseSignature(request.headers.get("webhook-signature"))
    if (signature === undefined) return rejected
    const ageSeconds = Math.abs(Date.now() / 1000 - Number(signature.time))
    if (!(ageSeconds <= MAX_AGE_SECONDS)) return rejected
    const body = await readBody(request)
    if (body === undefined) return rejected
    const key = await keyFor(signature.keyId, keysUrl, fetchKeys)
    if (key === "unavailable") return { kind: "unavailable" }
    if (key === undefined || !(await isSignedBy(key, signature, body))) return rejected
    const wake = parseWake(body)
    return wake?.subscriptionId === subscription ? { kind: "verified", wake } : rejected
  }
}

const rejected: WebhookVerification = { kind: "rejected" }

interface Signature {
  readonly time: string
  readonly keyId: string
  readonly bytes: Uint8Array<ArrayBuffer>
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
  return { time, keyId, bytes }
}

function decodeBase64Url(text: string): Uint8Array<ArrayBuffer> | undefined {
  if (!/^[\w-]+$/.test(text)) return undefined
  try {
    const binary = atob(text.replaceAll("-", "+").replaceAll("_", "/"))
    return Uint8Array.from(binary, (char) => char.charCodeAt(0))
  } catch {
    return undefined
  }
}

async function readBody(request: Request): Promise<Uint8Array<ArrayBuffer> | undefined> {
  if (Number(request.headers.get("content-length") ?? 0) > MAX_BODY_BYTES) return undefined
  try {
    const body = new Uint8Array(await request.arrayBuffer())
    return body.byteLength > MAX_BODY_BYTES ? undefined : body
  } catch {
    // It broke off, or was read before.
    return undefined
  }
}

async function isSignedBy(
  key: CryptoKey,
  { time, bytes }: Signature,
  body: Uint8Array<ArrayBuffer>,
): Promise<boolean> {
  const prefix = new TextEncoder().encode(`${time}.`)
  const signed = new Uint8Array(prefix.byteLength + body.byteLength)
  signed.set(prefix)
  signed.set(body, prefix.byteLength)
  return crypto.subtle.verify("Ed25519", key, bytes, signed)
}

async function keyFor(
  keyId: string,
  url: string,
  fetchKeys: typeof globalThis.fetch,
): Promise<CryptoKey | undefined | "unavailable"> {
  let set = keySets.get(url)
  if (set === undefined)
    keySets.set(url, (set = { keys: new Map(), fetchedAtMs: -Infinity, pending: undefined }))
  const known = set.keys.get(keyId)
  const ageMs = monotonicMs() - set.fetchedAtMs
  if (known !== undefined && ageMs < KEYS_MAX_AGE_MS) return known
  if (known === undefined && ageMs < REFETCH_INTERVAL_MS)
    return set.keys.size > 0 ? undefined : "unavailable"
  set.pending ??= refresh(set, url, fetchKeys)
  const isFresh = await set.pending
  return set.keys.get(keyId) ?? (isFresh ? undefined : "unavailable")
}

/** @returns whether the keys could be fetched. If not, the ones of before stay: a short outage rejects nobody */
async function refresh(
  set: KeySet,
  url: string,
  fetchKeys: typeof globalThis.fetch,
): Promise<boolean> {
  try {
    // A redirect could lead to anybody's keys.
    const response = await fetchKeys(url, {
      method: "GET",
      headers: { accept: "application/jwk-set+json, application/json" },
      redirect: "error",
      signal: AbortSignal.timeout(KEYS_TIMEOUT_MS),
    })
    if (!response.ok) return false
    const json: unknown = await response.json()
    const list =
      isJsonObject(json) && Array.isArray(json["keys"]) ? (json["keys"] as readonly unknown[]) : []
    const keys = new Map<string, CryptoKey>()
    for (const jwk of list) await addKey(keys, jwk)
    set.keys = keys
    return true
  } catch {
    return false
  } finally {
    set.fetchedAtMs = monotonicMs()
    set.pending = undefined
  }
}

async function addKey(keys: Map<string, CryptoKey>, jwk: unknown): Promise<void> {
  if (!isJsonObject(jwk)) return
  const { kty, crv, kid, x } = jwk
  if (kty !== "OKP" || crv !== "Ed25519" || typeof kid !== "string" || typeof x !== "string") return
  try {
    keys.set(
      kid,
      await crypto.subtle.importKey("jwk", { kty, crv, x }, "Ed25519", false, ["verify"]),
    )
  } catch {
    // One key that is not valid does not hide the others.
  }
}

function parseWake(body: Uint8Array): Wake | undefined {
  let json: unknown
  try {
    json = JSON.parse(new TextDecoder().decode(body))
  } catch {
    return undefined
  }
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
