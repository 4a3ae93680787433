import {
  badOption,
  checkBoolean,
  checkDuration,
  checkFunction,
  checkNumber,
  checkObject,
} from "../http/option-checks.ts"
import type { BackoffOverrides } from "../http/backoff.ts"
import { checkSignal, type Endpoint, type FetchOptions } from "../http/endpoint.ts"
import { callObserver } from "../platform/console.ts"
import { checkHeaders, type HeadersRecord } from "../http/request-inputs.ts"
import { PRODUCER_ID_HEADER } from "../protocol/names.ts"
import type { MessageSnapshot } from "../protocol/message.ts"
import type { CloseResult } from "../protocol/offset.ts"

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
   * Called once when the producer fails, and once for every message that was rejected (`details.message` holds its bytes). A
   * failure that loses no message is not reported here: `close` rejects if the closure alone fails, and an abort is its
   * caller's own. What it throws is logged and changes nothing.
   */
  onError?: ((error: Error) => void) | undefined
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

/** Checked {@link IdempotentProducerOptions} with every default filled in, less what goes into the endpoint. */
export interface ProducerSettings {
  readonly producerId: string
  /** The epoch to start with. Undefined: fresh ones. */
  readonly epoch: number | undefined
  readonly autoClaim: boolean
  readonly maxBatchBytes: number
  readonly maxBatchItems: number
  readonly lingerMs: number
  readonly maxInFlight: number
  readonly signal: AbortSignal | undefined
  /** Never throws. */
  readonly onError: (error: Error) => void
  readonly deliveryTimeoutMs: number
  readonly highWaterMarkBytes: number
  readonly maxBufferedBytes: number
}

const MIB = 1024 * 1024
const MAX_TIMER_MS = 2 ** 31 - 1

/** What a producer is made of. */
export interface ProducerInput {
  readonly endpoint: Endpoint
  readonly producerId: string
  /** Whether no other producer can have used the id. Default false. */
  readonly isNewId?: boolean
  readonly options?: IdempotentProducerOptions | undefined
  /** The stream's content type, if it is known. Asked before the first message. */
  readonly contentType: () => string | undefined
}

/**
 * Checks options and fills in the defaults.
 *
 * @throws DurableStreamError `BAD_REQUEST` that names the option and its value
 * @throws InvalidSignalError if the signal is none
 */
export function resolveProducerOptions(
  producerId: string,
  options: IdempotentProducerOptions = {},
): ProducerSettings {
  checkObject("options", options)
  const { maxBufferedBytes = Infinity, lingerMs = 5 } = options
  const { maxBatchBytes = MIB, maxInFlight = 5, deliveryTimeoutMs = 120_000 } = options
  const { autoClaim = false, maxBatchItems = Infinity, onError } = options
  checkFunction("onError", onError)
  const { epoch = autoClaim ? undefined : 0 } = options
  checkProducerId(producerId)
  checkSignal(options.signal)
  const isDelay = (ms: number) => ms >= 0 && ms <= MAX_TIMER_MS
  checkNumber("lingerMs", lingerMs, isDelay, `a number of milliseconds from 0 to ${MAX_TIMER_MS}`)
  checkNumber(
    "maxBufferedBytes",
    maxBufferedBytes,
    (bytes) => bytes > 0,
    "a number of bytes above 0",
  )
  const { highWaterMarkBytes = Math.min(16 * MIB, Math.floor(maxBufferedBytes / 2)) } = options
  checkNumber("highWaterMarkBytes", highWaterMarkBytes, (bytes) => bytes >= 0, "0 bytes or more")
  return {
    producerId,
    epoch: epoch === undefined ? undefined : checkWhole("epoch", epoch, 0),
    autoClaim: checkBoolean("autoClaim", autoClaim),
    maxBatchBytes: checkWhole("maxBatchBytes", maxBatchBytes, 1),
    maxBatchItems:
      maxBatchItems === Infinity ? Infinity : checkWhole("maxBatchItems", maxBatchItems, 1),
    lingerMs,
    maxInFlight: checkWhole("maxInFlight", maxInFlight, 1),
    signal: options.signal,
    onError: (error) => {
      callObserver("onError", () => onError?.(error))
    },
    deliveryTimeoutMs: checkDuration("deliveryTimeoutMs", deliveryTimeoutMs),
    highWaterMarkBytes,
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

function checkWhole(option: string, value: number, least: number): number {
  const rule = `a whole number from ${least} to 2^53 - 1`
  return checkNumber(
    option,
    value,
    (number) => Number.isSafeInteger(number) && number >= least,
    rule,
  )
}
