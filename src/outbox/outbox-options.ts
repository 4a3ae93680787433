import { endpointOf, checkSignal, type Endpoint } from "../http/endpoint.ts"
import { resolveBackoff, type Backoff, type BackoffOverrides } from "../http/backoff.ts"
import { badOption, checkObject, checkOptions, RULES } from "../http/option-checks.ts"
import { randomId } from "../platform/random-id.ts"
import { describeUrl } from "../protocol/request-url.ts"
import type { DurableStream } from "../durable-stream.ts"
import type { OutboxError } from "./outbox-error.ts"
import type { DeliveryLimits, OutboxConfig } from "./outbox-rules.ts"
import type { OutboxStore } from "./outbox-store.ts"

/** What an outbox does, as `observe` reports it. */
export type OutboxEvent =
  | { readonly kind: "queued"; readonly bytes: number }
  | {
      readonly kind: "sealed"
      readonly epoch: number
      readonly seq: number
      readonly count: number
      readonly bytes: number
    }
  | { readonly kind: "sent"; readonly epoch: number; readonly seq: number }
  | {
      readonly kind: "acknowledged"
      readonly epoch: number
      readonly seq: number
      readonly count: number
    }
  | {
      readonly kind: "retrying"
      readonly code: string
      readonly message: string
      readonly delayMs: number
    }
  | { readonly kind: "paused"; readonly code: string; readonly message: string }
  | { readonly kind: "failed"; readonly error: OutboxError }

/** The options of `openOutbox`. */
export interface OutboxOptions {
  /** Where messages are kept: `indexedDbStore`, `sqliteStore`, `postgresStore`, or your own. */
  store: OutboxStore
  /**
   * Names the outbox in its store: one name, one sequence of messages to one stream.
   *
   * @default "default"
   */
  name?: string | undefined
  /** The stream's content type. Required if the handle does not have it. */
  contentType?: string | undefined
  /** The URL that the outbox was opened with before, if the stream has moved. */
  movedFrom?: string | URL | undefined
  /**
   * `append` fails with `BUFFER_FULL` if more bytes than this would wait. In PostgreSQL each append counts the rows that wait then: a
   * running total would make concurrent transactions wait for each other.
   *
   * @default Infinity
   */
  maxPendingBytes?: number | undefined
  /**
   * A request carries no more bytes than this, but for a larger message.
   *
   * @default 1_048_576 (1 MiB)
   */
  maxBatchBytes?: number | undefined
  /**
   * A request carries no more messages than this.
   *
   * @default 10_000
   */
  maxBatchItems?: number | undefined
  /**
   * For how long the server remembers a producer at least, in milliseconds.
   *
   * @default 518_400_000 (six days)
   */
  producerRetentionMs?: number | undefined
  /**
   * How often the store is searched for messages of other openers and of transactions, in milliseconds.
   *
   * @default 1_000
   */
  pollIntervalMs?: number | undefined
  /** The delays between attempts. Default: the handle's. Delivery never gives up, whatever `maxRetries` says. */
  backoffOptions?: BackoffOverrides | undefined
  /** Ends delivery by this opener at once. The messages stay in the store. */
  signal?: AbortSignal | undefined
  /** Called with what the outbox does. */
  observe?: ((event: OutboxEvent) => void) | undefined
}

/** Checked {@link OutboxOptions}. */
export interface OutboxSettings {
  readonly endpoint: Endpoint
  readonly store: OutboxStore
  readonly name: string
  readonly config: OutboxConfig
  readonly limits: DeliveryLimits
  readonly maxPendingBytes: number
  readonly pollIntervalMs: number
  readonly backoff: Backoff
  readonly signal: AbortSignal | undefined
  readonly observe: ((event: OutboxEvent) => void) | undefined
}

/** Options of a producer that an outbox chooses and stores itself. */
const NUMBERS: readonly string[] = ["epoch", "autoClaim", "producerId"]

const LIMIT = { words: "a whole number above 0, or Infinity", isMet: isLimit }

/**
 * Checks the options and fills in the defaults.
 *
 * @throws DurableStreamError `BAD_REQUEST` that names the option and its value
 */
export function checkOutboxOptions(stream: DurableStream, options: OutboxOptions): OutboxSettings {
  checkOptions(options, {
    maxPendingBytes: RULES.amount,
    maxBatchBytes: LIMIT,
    maxBatchItems: LIMIT,
    producerRetentionMs: RULES.duration,
    pollIntervalMs: RULES.duration,
    observe: RULES.function,
  })
  const endpoint = endpointOf(stream)
  if (endpoint === undefined) throw badOption("stream", "a DurableStream", stream)
  if (endpoint.urlError !== undefined) throw endpoint.urlError
  for (const [option, value] of Object.entries(options)) {
    if (!NUMBERS.includes(option) || value === undefined) continue
    throw badOption(option, "omitted (an outbox has numbers of its own)", value)
  }
  const { store, name = "default", movedFrom, backoffOptions } = options
  // JavaScript callers can omit it.
  if (typeof (store as Partial<OutboxStore> | undefined)?.transact !== "function") {
    throw badOption("store", "an OutboxStore", store)
  }
  const contentType = options.contentType ?? stream.contentType
  if (!isText(contentType)) {
    throw badOption("contentType", "the stream's, given here or to the handle", contentType)
  }
  if (!isText(name)) throw badOption("name", "a name", name)
  return {
    endpoint,
    store,
    name,
    config: {
      url: describeUrl(endpoint.url),
      movedFrom: checkMovedFrom(movedFrom),
      contentType,
      newProducerId: `outbox-${randomId()}`,
    },
    limits: {
      maxBatchBytes: options.maxBatchBytes ?? 2 ** 20,
      maxBatchItems: options.maxBatchItems ?? 10_000,
      producerRetentionMs: options.producerRetentionMs ?? 6 * 86_400_000,
      opener: randomId(),
    },
    maxPendingBytes: options.maxPendingBytes ?? Infinity,
    pollIntervalMs: options.pollIntervalMs ?? 1_000,
    backoff:
      backoffOptions === undefined
        ? endpoint.backoff
        : resolveBackoff(checkObject("backoffOptions", backoffOptions)),
    signal: checkSignal(options.signal),
    observe: options.observe,
  }
}

function isLimit(value: unknown): boolean {
  return value === Infinity || (Number.isInteger(value) && Number(value) > 0)
}

function isText(value: unknown): value is string {
  return typeof value === "string" && value !== ""
}

function checkMovedFrom(value: unknown): string | undefined {
  if (value === undefined) return undefined
  // By shape: a URL can be of another realm.
  const { href = value } = Object(value) as { href?: unknown }
  if (isText(href)) return describeUrl(href)
  throw badOption("movedFrom", "a string or a URL", value)
}
