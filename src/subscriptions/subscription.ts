import { badOption } from "../http/option-checks.ts"
import type { Offset } from "../protocol/offset.ts"

/** What every subscription is created with. */
export interface SubscriptionOptions {
  /** Links streams by path: `*` is one segment, `**` any number. Streams that appear later are linked too. */
  pattern?: string | undefined
  /** Paths of streams to link, relative to the root, without a leading slash: `events/a`. */
  streams?: readonly string[] | undefined
  /**
   * How long a claim lasts without a heartbeat, in milliseconds; 1,000 to 600,000.
   *
   * @default 30_000 (the server's)
   */
  leaseTtlMs?: number | undefined
  /** For people. */
  description?: string | undefined
}

/** A subscription whose workers wait on a wake stream. */
export interface PullWakeConfig extends SubscriptionOptions {
  type: "pull-wake"
  /** The path of a JSON stream that the application creates; the server appends an event to it if there is work. */
  wakeStream: string
}

/** A subscription whose server calls a URL if there is work. */
export interface WebhookConfig extends SubscriptionOptions {
  type: "webhook"
  /** An https URL, or http to localhost. */
  webhook: { url: string }
}

/** What {@link Subscriptions.create} creates. `pattern`, `streams` or both are required. */
export type SubscriptionConfig = PullWakeConfig | WebhookConfig

/** A stream of a subscription. */
export interface SubscribedStream {
  path: string
  linkType: "glob" | "explicit"
  /** Where the next read starts: everything before it was acknowledged. */
  ackedOffset: Offset
}

/** A stream of a subscription, as a claim or a webhook's request reports it. */
export interface ClaimedStream extends SubscribedStream {
  /** The tail at the time of the claim. What is appended later wakes again. */
  tailOffset: Offset
  hasPending: boolean
}

/** A subscription as the server reports it. */
export interface Subscription {
  id: string
  type: "pull-wake" | "webhook"
  pattern?: string
  streams: SubscribedStream[]
  wakeStream?: string
  webhook?: { url: string; signing?: { alg: string; kid: string; jwksUrl: string } }
  leaseTtlMs: number
  /** RFC 3339. */
  createdAt?: string
  status: "active" | "failed"
  description?: string
}

/** An acknowledgement: everything of the stream before the offset was handled. */
export interface Ack {
  path: string
  /** The `offset` of the last batch that was handled. */
  offset: Offset
}

/** A path whose acknowledgement the server rejected. */
export interface RejectedAck extends Ack {
  /** The server's reason. */
  reason: string
}

/** JSON of unknown shape. */
export type JsonObject = Readonly<Record<string, unknown>>

/** Whether a value is a JSON object. */
export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value)
}

/** A subscription in the words of the wire; undefined if the JSON is not one. */
export function parseSubscription(json: unknown): Subscription | undefined {
  if (!isJsonObject(json)) return undefined
  const { type, pattern, wake_stream, webhook, created_at, description } = json
  const id = json["subscription_id"] ?? json["id"]
  if (typeof id !== "string" || (type !== "pull-wake" && type !== "webhook")) return undefined
  const subscription: Subscription = {
    id,
    type,
    streams: parseList(json["streams"], parseSubscribedStream),
    leaseTtlMs: parseLeaseMs(json["lease_ttl_ms"]),
    status: json["status"] === "failed" ? "failed" : "active",
  }
  if (typeof pattern === "string") subscription.pattern = pattern
  if (typeof wake_stream === "string") subscription.wakeStream = wake_stream
  if (typeof created_at === "string") subscription.createdAt = created_at
  if (typeof description === "string") subscription.description = description
  const hook = parseWebhook(webhook)
  if (hook !== undefined) subscription.webhook = hook
  return subscription
}

const DEFAULT_LEASE_MS = 30_000
const MAX_LEASE_MS = 600_000

/** The lease that a server reports; the protocol's, if it reports none. */
export function parseLeaseMs(json: unknown): number {
  return typeof json === "number" && json > 0 ? Math.min(json, MAX_LEASE_MS) : DEFAULT_LEASE_MS
}

/** @throws DurableStreamError `BAD_REQUEST` */
export function checkLeaseMs(ms: unknown): void {
  if (
    ms === undefined ||
    (Number.isInteger(ms) && Number(ms) >= 1_000 && Number(ms) <= MAX_LEASE_MS)
  )
    return
  throw badOption("leaseTtlMs", "a whole number from 1,000 to 600,000", ms)
}

function parseWebhook(json: unknown): Subscription["webhook"] {
  if (!isJsonObject(json) || typeof json["url"] !== "string") return undefined
  const { url, signing } = json
  if (!isJsonObject(signing)) return { url }
  const { alg, kid, jwks_url } = signing
  return { url, signing: { alg: String(alg), kid: String(kid), jwksUrl: String(jwks_url) } }
}

function parseSubscribedStream(json: JsonObject): SubscribedStream | undefined {
  const { path, link_type, acked_offset } = json
  if (typeof path !== "string" || typeof acked_offset !== "string") return undefined
  const linkType = link_type === "explicit" ? "explicit" : "glob"
  return { path, linkType, ackedOffset: acked_offset }
}

/** The streams of a claim or of a webhook's request. */
export function parseClaimedStreams(json: unknown): ClaimedStream[] {
  return parseList(json, (entry) => {
    const stream = parseSubscribedStream(entry)
    const { tail_offset, has_pending } = entry
    if (stream === undefined || typeof tail_offset !== "string") return undefined
    return { ...stream, tailOffset: tail_offset, hasPending: has_pending === true }
  })
}

function parseList<T>(json: unknown, parse: (entry: JsonObject) => T | undefined): T[] {
  if (!Array.isArray(json)) return []
  return json.flatMap((entry: unknown) => (isJsonObject(entry) ? (parse(entry) ?? []) : []))
}

/** A configuration in the words of the wire. */
export function configToJson(config: SubscriptionConfig): JsonObject {
  const { type, pattern, streams, leaseTtlMs, description } = config
  return {
    type,
    pattern,
    streams,
    lease_ttl_ms: leaseTtlMs,
    description,
    ...(type === "webhook"
      ? { webhook: { url: config.webhook.url } }
      : { wake_stream: config.wakeStream }),
  }
}
