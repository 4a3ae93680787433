import { MAX_TIMER_MS } from "../http/abort.ts"
import type { BackoffOverrides } from "../http/backoff.ts"
import { checkSignal, type FetchOptions } from "../http/endpoint.ts"
import { badOption, checkOptions, RULES, wholeNumber } from "../http/option-checks.ts"
import { checkHeaders, type HeadersRecord } from "../http/request-inputs.ts"
import type { RetryNotice, Retrying } from "../http/retry-loop.ts"
import { callObserver } from "../platform/console.ts"
import type { MessageSnapshot } from "../protocol/message.ts"
import { PRODUCER_ID_HEADER } from "../protocol/names.ts"
import type { StandardSchemaV1 } from "../protocol/standard-schema.ts"
import type { CloseResult, Offset } from "../protocol/offset.ts"

/** The options of an idempotent producer. */
export interface IdempotentProducerOptions {
  /**
   * The epoch to start with: a whole number from 0. A pair of id and epoch belongs to one producer, from its start to its end:
   * one that takes over needs a higher epoch. Prefer `autoClaim` without an epoch.
   *
   * @default a fresh epoch with `autoClaim`, else 0
   */
  epoch?: number | undefined
  /**
   * Starts in a fresh epoch, which no other producer has used, and fences all other producers of the same id. If another
   * one fences this one, or the server has forgotten it, it bumps its epoch and continues. With an explicit `epoch` it
   * starts there and bumps to the current epoch + 1; two producers that are fenced by a third then take the same one.
   *
   * @default false: being fenced or forgotten is an error
   */
  autoClaim?: boolean | undefined
  /**
   * The limit of a body of several messages in bytes; a larger single message goes alone.
   *
   * @default 1_048_576
   */
  maxBatchBytes?: number | undefined
  /**
   * How many messages a batch has at most.
   *
   * @default Infinity
   */
  maxBatchItems?: number | undefined
  /**
   * How long a message waits for others to share its request, in milliseconds. A full batch does not wait.
   *
   * @default 5
   */
  lingerMs?: number | undefined
  /**
   * How many requests are in flight at a time.
   *
   * @default 5
   */
  maxInFlight?: number | undefined
  /** Sent with every request, beside the handle's. */
  headers?: HeadersRecord | undefined
  /** Fails the producer at once, with `ABORTED`. */
  signal?: AbortSignal | undefined
  /** Used in place of the handle's fetch. */
  fetch?: typeof globalThis.fetch | undefined
  /** Given to every call of fetch, over the handle's. Fields that the protocol sets are rejected by name. */
  fetchOptions?: FetchOptions | undefined
  /**
   * Validates each message, which is sent as it was given. It must be synchronous.
   *
   * @default the handle's
   */
  schema?: StandardSchemaV1 | undefined
  /**
   * Called once when the producer fails, and once for every message that was rejected (`details.message` holds its bytes). A
   * failure that loses no message is not reported here: `close` rejects if the closure alone fails, and an abort is its
   * caller's own. What it throws is logged and changes nothing.
   */
  onError?: ((error: Error) => void) | undefined
  /** Called with what the producer does: retries, acknowledgements, and each {@link ProducerConnectionState}. */
  observe?: ((event: ProducerEvent) => void) | undefined
  /**
   * How failed requests are retried.
   *
   * @default the handle's
   */
  backoffOptions?: BackoffOverrides | undefined
  /**
   * How long a batch is retried, in milliseconds from its first attempt, before the producer fails with `TIMEOUT`. If the
   * machine was suspended meanwhile, one more attempt is made. Infinity is allowed.
   *
   * @default 120_000
   */
  deliveryTimeoutMs?: number | undefined
  /**
   * `ready` is pending while more bytes than this are not acknowledged.
   *
   * @default 16 MiB, or half of `maxBufferedBytes` if that is less
   */
  highWaterMarkBytes?: number | undefined
  /**
   * `append` throws `BUFFER_FULL` rather than hold more bytes than this.
   *
   * @default Infinity
   */
  maxBufferedBytes?: number | undefined
}

/**
 * What a producer's connection is at, for a user interface: `producer.connection`, and each change in `observe`.
 *
 * - `idle`: everything is acknowledged.
 * - `sending`: messages are queued or in flight.
 * - `retrying`: a request failed. It lasts until a batch is acknowledged.
 * - `offline`: messages are queued or in flight, and the browser says that it has no network. It retries as soon as there is
 *   one.
 * - `ended`: final, for the reason that is the producer's `state`.
 */
export type ProducerConnectionState =
  | { readonly kind: "idle" | "sending" | "offline" }
  | Retrying
  | {
      readonly kind: "ended"
      readonly reason: "closed" | "detached" | "failed"
      /** What it failed with. */
      readonly error?: Error
    }

/** What a producer does, as `observe` receives it. */
export type ProducerEvent =
  | ({ readonly kind: "retry" } & RetryNotice)
  | {
      readonly kind: "acknowledged"
      readonly messageCount: number
      /** Behind the batch; empty if the server did not say. */
      readonly offset: Offset
      /** Whether an earlier attempt had stored it. */
      readonly duplicate: boolean
    }
  /** What the connection is at now. Comes before the event that explains it. */
  | { readonly kind: "state"; readonly state: ProducerConnectionState }

/** Ends a wait. */
export interface WaitOptions {
  /** Ends the wait: the call rejects with an abort. */
  signal?: AbortSignal | undefined
}

/**
 * What a producer is at.
 *
 * ```text
 *          close()            acknowledged
 *   open ──────────▶ closing ─────────────▶ closed
 *    │ ▲                │ │
 *    │ └────────────────┘ │ a message was rejected: the stream was not closed
 *    │  detach()          │
 *    ├──────────▶ detaching ─▶ detached
 *    └──────── any ───────┴──▶ failed
 * ```
 */
export type ProducerState =
  | { readonly kind: "open" }
  | {
      readonly kind: "closing" | "closed"
      readonly closed: Promise<CloseResult>
      readonly last: MessageSnapshot | undefined
    }
  | { readonly kind: "detaching" | "detached"; readonly detached: Promise<void> }
  | { readonly kind: "failed"; readonly error: Error }

const MIB = 1_048_576

/** Checked {@link IdempotentProducerOptions} with every default filled in, less what goes into the endpoint. */
export type ProducerSettings = {
  readonly [Name in keyof DefaultedOptions]-?: Exclude<DefaultedOptions[Name], undefined>
} & {
  readonly producerId: string
  /** Undefined: fresh ones. */
  readonly epoch: number | undefined
  readonly signal: AbortSignal | undefined
}

type DefaultedOptions = Omit<
  IdempotentProducerOptions,
  "epoch" | "signal" | "headers" | "fetch" | "fetchOptions" | "backoffOptions" | "schema"
>

/**
 * Checks options and fills in the defaults.
 *
 * @throws DurableStreamError `BAD_REQUEST` that names the option and its value
 * @throws InvalidSignalError if the signal is none
 */
export function resolveProducerOptions(
  producerId: string,
  options: IdempotentProducerOptions,
): ProducerSettings {
  checkProducerId(producerId)
  const {
    lingerMs = 5,
    maxBatchBytes = MIB,
    maxBatchItems = Infinity,
  } = checkOptions(options, {
    epoch: wholeNumber(0),
    autoClaim: RULES.boolean,
    maxBatchBytes: wholeNumber(1),
    maxBatchItems: {
      words: "a whole number above 0, or Infinity",
      isMet: (it) => RULES.count.isMet(it) && it !== 0,
    },
    lingerMs: {
      words: `a number of milliseconds from 0 to ${MAX_TIMER_MS}`,
      isMet: (it) => RULES.amount.isMet(it) && Number(it) <= MAX_TIMER_MS,
    },
    maxInFlight: wholeNumber(1),
    onError: RULES.function,
    observe: RULES.function,
    deliveryTimeoutMs: RULES.duration,
    highWaterMarkBytes: RULES.amount,
    maxBufferedBytes: { words: "a number of bytes above 0", isMet: RULES.duration.isMet },
  })
  const { autoClaim = false, maxInFlight = 5, maxBufferedBytes = Infinity } = options
  const { onError, observe } = options
  return {
    producerId,
    epoch: options.epoch ?? (autoClaim ? undefined : 0),
    autoClaim,
    maxBatchBytes,
    maxBatchItems,
    lingerMs,
    maxInFlight,
    signal: checkSignal(options.signal),
    // Never throws.
    onError(error: Error) {
      callObserver("onError", () => onError?.(error))
    },
    /** Never throws. */
    observe(event: ProducerEvent) {
      if (observe !== undefined) callObserver("observe", () => observe(event))
    },
    deliveryTimeoutMs: options.deliveryTimeoutMs ?? 120_000,
    highWaterMarkBytes:
      options.highWaterMarkBytes ?? Math.min(16 * MIB, Math.floor(maxBufferedBytes / 2)),
    maxBufferedBytes,
  }
}

function checkProducerId(producerId: unknown): void {
  if (typeof producerId !== "string" || producerId.trim() === "") {
    throw badOption("producerId", "a string that is not empty", producerId)
  }
  try {
    checkHeaders({ [PRODUCER_ID_HEADER]: producerId })
  } catch {
    throw badOption("producerId", "printable Latin-1, as a header carries it", producerId)
  }
}
