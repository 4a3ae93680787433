import { badOption } from "../errors/bad-option.ts"
import type { BackoffOptions } from "../http/backoff.ts"
import { checkSignal } from "../http/endpoint.ts"
import {
  checkBoolean,
  checkDuration,
  checkFunction,
  checkNumber,
  checkObject,
} from "../http/option-checks.ts"
import { checkHeaders, type HeadersRecord } from "../http/request-inputs.ts"
import { PRODUCER_ID_HEADER } from "../protocol/names.ts"

/** What an idempotent producer can be told. */
export interface IdempotentProducerOptions {
  /**
   * The epoch to start with: a whole number from 0. A producer that takes over from an earlier one of the same id starts
   * with a higher epoch, which fences the earlier one. Default 0.
   */
  epoch?: number
  /**
   * Takes the next higher epoch where another producer of the same id has used this one or a higher one, and where the
   * server has forgotten this producer. Default false: both are errors.
   */
  autoClaim?: boolean
  /** What the body of a request never exceeds by joining messages; a larger single message goes alone. Default 1 MiB. */
  maxBatchBytes?: number
  /** How long a message waits for others to share its request, in milliseconds, from 0. Default 5. */
  lingerMs?: number
  /** How many requests are under way side by side, from 1. Default 5. */
  maxInFlight?: number
  /** Sent with every request, beside the handle's. */
  headers?: HeadersRecord
  /** Ends the producer at once: it fails with `ABORTED`. */
  signal?: AbortSignal
  /** Used in place of the handle's fetch. */
  fetch?: typeof globalThis.fetch
  /**
   * Called once when the producer fails, and once for every message that was refused and left out (`details.message` holds
   * its bytes). A failure that loses no message is not told: `close` rejects where the closure alone came to nothing, and an
   * abort is its caller's own doing. What it throws is logged and changes nothing.
   */
  onError?: (error: Error) => void
  /** How failed requests are tried again. Default: the handle's. */
  backoffOptions?: BackoffOptions
  /**
   * How long a batch is tried again, in milliseconds from its first attempt, before the producer fails with `TIMEOUT`.
   * Infinity is allowed. Default 120 000.
   */
  deliveryTimeoutMs?: number
  /**
   * `ready` is pending while more bytes than this are not acknowledged. Default 16 MiB, or half of `maxBufferedBytes` where
   * that is less.
   */
  highWaterMarkBytes?: number
  /** `append` throws `BUFFER_FULL` rather than hold more bytes than this. Default Infinity. */
  maxBufferedBytes?: number
}

/** Checked {@link IdempotentProducerOptions} with every default filled in, less what goes into the endpoint. */
export interface ProducerSettings {
  readonly producerId: string
  readonly epoch: number
  readonly autoClaim: boolean
  readonly maxBatchBytes: number
  readonly lingerMs: number
  readonly maxInFlight: number
  readonly signal: AbortSignal | undefined
  readonly onError: ((error: Error) => void) | undefined
  readonly deliveryTimeoutMs: number
  readonly highWaterMarkBytes: number
  readonly maxBufferedBytes: number
}

const MIB = 1024 * 1024
const MAX_TIMER_MS = 2 ** 31 - 1

/**
 * Checks options and fills in the defaults.
 *
 * @throws DurableStreamError `BAD_REQUEST` that names the option and its value
 * @throws InvalidSignalError where the signal is none
 */
export function resolveProducerOptions(
  producerId: string,
  options: IdempotentProducerOptions = {},
): ProducerSettings {
  checkObject("options", options)
  const { maxBufferedBytes = Infinity, lingerMs = 5 } = options
  const { epoch = 0, maxBatchBytes = MIB, maxInFlight = 5, deliveryTimeoutMs = 120_000 } = options
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
    epoch: checkWhole("epoch", epoch, 0),
    autoClaim: checkBoolean("autoClaim", options.autoClaim) ?? false,
    maxBatchBytes: checkWhole("maxBatchBytes", maxBatchBytes, 1),
    lingerMs,
    maxInFlight: checkWhole("maxInFlight", maxInFlight, 1),
    signal: options.signal,
    onError: checkFunction("onError", options.onError),
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
