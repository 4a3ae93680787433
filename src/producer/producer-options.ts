import { DurableStreamError } from "../errors/durable-stream-error.ts"
import type { BackoffOptions } from "../http/backoff.ts"
import { checkDuration, checkSignal } from "../http/endpoint.ts"
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
   * its bytes). What it throws is logged and changes nothing.
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
  const { maxBufferedBytes = Infinity, lingerMs = 5, autoClaim = false, onError } = options
  checkProducerId(producerId)
  checkSignal(options.signal)
  const isDelay = lingerMs >= 0 && lingerMs <= MAX_TIMER_MS
  check("lingerMs", lingerMs, isDelay, `a number of milliseconds from 0 to ${MAX_TIMER_MS}`)
  check("maxBufferedBytes", maxBufferedBytes, maxBufferedBytes > 0, "a number of bytes above 0")
  const highWaterMarkBytes =
    options.highWaterMarkBytes ?? Math.min(16 * MIB, Math.floor(maxBufferedBytes / 2))
  check("highWaterMarkBytes", highWaterMarkBytes, highWaterMarkBytes >= 0, "0 bytes or more")
  if (typeof autoClaim !== "boolean") throw outOfRange("autoClaim", autoClaim, "true or false")
  if (onError !== undefined && typeof onError !== "function") {
    throw outOfRange("onError", onError, "a function")
  }
  return {
    producerId,
    epoch: checkWhole("epoch", options.epoch ?? 0, 0),
    autoClaim,
    maxBatchBytes: checkWhole("maxBatchBytes", options.maxBatchBytes ?? MIB, 1),
    lingerMs,
    maxInFlight: checkWhole("maxInFlight", options.maxInFlight ?? 5, 1),
    signal: options.signal,
    onError,
    deliveryTimeoutMs: checkDuration("deliveryTimeoutMs", options.deliveryTimeoutMs ?? 120_000),
    highWaterMarkBytes,
    maxBufferedBytes,
  }
}

function checkProducerId(producerId: unknown): void {
  if (typeof producerId !== "string" || producerId.trim() === "") {
    throw outOfRange("producerId", producerId, "a string that is not empty")
  }
  try {
    checkHeaders({ [PRODUCER_ID_HEADER]: producerId })
  } catch {
    throw outOfRange("producerId", producerId, "printable Latin-1, as a header carries it")
  }
}

function checkWhole(option: string, value: number, least: number): number {
  const rule = `a whole number from ${least} to 2^53 - 1`
  check(option, value, Number.isSafeInteger(value) && value >= least, rule)
  return value
}

function check(option: string, value: unknown, valid: boolean, rule: string): void {
  if (typeof value !== "number" || !valid) throw outOfRange(option, value, rule)
}

function outOfRange(option: string, value: unknown, rule: string): DurableStreamError {
  const given = typeof value === "string" ? JSON.stringify(value) : String(value)
  return new DurableStreamError(
    `The option ${option} must be ${rule}, not ${given}.`,
    "BAD_REQUEST",
  )
}
