import { decodeUtf8 } from "../platform/text.ts"

/** What a subscription was created with. */
export interface ModelConfig {
  readonly pattern: string | undefined
  readonly streams: readonly string[]
  /** Of a pull-wake subscription. */
  readonly wakeStreamPath: string | undefined
  /** Of a webhook subscription. */
  readonly webhookUrl: string | undefined
  readonly leaseTtlMs: number
  readonly description: string | undefined
}

/** A JSON object whose fields nobody has checked. */
export type Fields = Readonly<Record<string, unknown>>

/** The object of a request's body: `{}` for any other value, undefined for what is not JSON. */
export function parseFields(body: Uint8Array): Fields | undefined {
  if (body.length === 0) return {}
  try {
    const value: unknown = JSON.parse(decodeUtf8(body))
    return isFields(value) ? value : {}
  } catch {
    return undefined
  }
}

/** Whether a value has fields. */
export function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value)
}

/** An array of strings, or undefined. */
export function stringsOf(value: unknown): string[] | undefined {
  return Array.isArray(value) && value.every((item) => typeof item === "string") ? value : undefined
}

/** The configuration in the body of a PUT, or the code of the error that it gets. */
export function parseConfig(body: Fields): ModelConfig | string {
  const { type, webhook, wake_stream: wakeStream, lease_ttl_ms: leaseTtlMs = 30_000 } = body
  const pattern = textOf(body["pattern"])
  const streams = stringsOf(body["streams"]) ?? []
  const isWebhook = type === "webhook"
  const webhookUrl = isWebhook && isFields(webhook) ? textOf(webhook["url"]) : undefined
  const wakeStreamPath = type === "pull-wake" ? textOf(wakeStream) : undefined
  const isLease =
    Number.isInteger(leaseTtlMs) && Number(leaseTtlMs) >= 1000 && Number(leaseTtlMs) <= 600_000
  if ((webhookUrl ?? wakeStreamPath) === undefined || !isLease) return "INVALID_REQUEST"
  if (pattern === undefined && streams.length === 0) return "INVALID_REQUEST"
  if (webhookUrl !== undefined && !isAllowed(webhookUrl)) return "WEBHOOK_URL_REJECTED"
  return {
    pattern,
    streams,
    wakeStreamPath,
    webhookUrl,
    leaseTtlMs: Number(leaseTtlMs),
    description: textOf(body["description"]),
  }
}

function textOf(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined
}

function isAllowed(text: string): boolean {
  try {
    const { protocol, hostname } = new URL(text)
    const isLocal = hostname === "localhost" || hostname.startsWith("127.0.0.")
    return protocol === "https:" || (protocol === "http:" && isLocal)
  } catch {
    return false
  }
}
