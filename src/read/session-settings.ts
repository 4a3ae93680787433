import {
  badOption,
  checkBoolean,
  checkCount,
  checkDuration,
  checkFunction,
  checkNumber,
  checkObject,
} from "../http/option-checks.ts"
import { checkSignal } from "../http/endpoint.ts"
import { documentVisibility, type VisibilitySource } from "../platform/page-lifecycle.ts"
import { isOffset, START_OFFSET, type Offset } from "../protocol/offset.ts"
import type { StreamEvent } from "./stream-event.ts"
import type {
  LiveMode,
  ReadOptions,
  SSEResilienceOptions,
  SseSettings,
  StreamErrorHandler,
} from "./stream-options.ts"

/** Checked {@link ReadOptions} with every default filled in. */
export interface SessionSettings {
  readonly offset: Offset
  readonly live: LiveMode
  readonly json: boolean
  readonly signal: AbortSignal | undefined
  readonly onError: StreamErrorHandler | undefined
  readonly observe: ((event: StreamEvent) => void) | undefined
  readonly sse: SseSettings
  readonly idleTimeoutMs: number
  readonly visibility: VisibilitySource | undefined
  readonly hiddenGraceMs: number
  readonly readAhead: number
  readonly maxPageBytes: number | undefined
  readonly cursor: string | undefined
}

const DEFAULT_IDLE_TIMEOUT_MS = 75_000

const sseDefaults: SseSettings = {
  minConnectionDuration: 1000,
  maxShortConnections: 3,
  backoffBaseDelay: 100,
  backoffMaxDelay: 5000,
  logWarnings: true,
}

/**
 * Checks the options of a read and fills in the defaults.
 *
 * @throws DurableStreamError `BAD_REQUEST` that names the option
 * @throws InvalidSignalError where the signal is none
 */
export function sessionSettings(options: ReadOptions): SessionSettings {
  checkObject("options", options)
  checkSignal(options.signal)
  checkBoolean("warnOnHttp", options.warnOnHttp)
  const { offset = START_OFFSET, live = true, readAhead = 1 } = options
  const { idleTimeoutMs = DEFAULT_IDLE_TIMEOUT_MS, pauseWhenHidden = true } = options
  if (!isOffset(offset)) {
    throw badOption("offset", 'a stored offset, "-1" or "now"', offset)
  }
  if (![true, false, "long-poll", "sse"].includes(live)) {
    throw badOption("live", 'true, false, "long-poll" or "sse"', live)
  }
  return {
    offset,
    live,
    json: checkBoolean("json", options.json) ?? false,
    signal: options.signal,
    onError: checkFunction("onError", options.onError),
    observe: checkFunction("observe", options.observe),
    sse: sseSettings(options.sseResilience),
    idleTimeoutMs: checkDuration("idleTimeoutMs", idleTimeoutMs),
    visibility: visibilityOf(pauseWhenHidden),
    hiddenGraceMs: checkGrace(options.hiddenGraceMs ?? 0),
    readAhead: checkCount("readAhead", readAhead),
    maxPageBytes: checkPageBytes(options.maxPageBytes),
    cursor: options.cursor,
  }
}

function sseSettings(options?: SSEResilienceOptions): SseSettings {
  if (options === undefined) return sseDefaults
  checkObject("sseResilience", options)
  const {
    minConnectionDuration = sseDefaults.minConnectionDuration,
    maxShortConnections = sseDefaults.maxShortConnections,
    logWarnings = sseDefaults.logWarnings,
    backoffMaxDelay = sseDefaults.backoffMaxDelay,
  } = options
  checkAmount("backoffMaxDelay", backoffMaxDelay)
  const { backoffBaseDelay = Math.min(sseDefaults.backoffBaseDelay, backoffMaxDelay) } = options
  checkAmount("minConnectionDuration", minConnectionDuration)
  checkAmount("backoffBaseDelay", backoffBaseDelay)
  checkCount("sseResilience.maxShortConnections", maxShortConnections)
  checkBoolean("sseResilience.logWarnings", logWarnings)
  return {
    minConnectionDuration,
    maxShortConnections,
    backoffBaseDelay,
    backoffMaxDelay: Math.max(backoffBaseDelay, backoffMaxDelay),
    logWarnings,
  }
}

function visibilityOf(option: boolean | VisibilitySource): VisibilitySource | undefined {
  if (option === true) return documentVisibility()
  if (option === false) return undefined
  // JavaScript callers can give anything.
  if (typeof (option as Partial<VisibilitySource> | null)?.subscribe === "function") return option
  throw badOption("pauseWhenHidden", "a boolean or a VisibilitySource", option)
}

function checkGrace(ms: unknown): number {
  const isMs = (given: number) => Number.isFinite(given) && given >= 0
  return checkNumber("hiddenGraceMs", ms, isMs, "a number of milliseconds, 0 or more")
}

function checkPageBytes(bytes: unknown): number | undefined {
  if (bytes === undefined) return undefined
  const isLimit = (given: number) => given >= 1 && (given === Infinity || Number.isInteger(given))
  return checkNumber("maxPageBytes", bytes, isLimit, "a whole number, 1 or more, or Infinity")
}

function checkAmount(option: string, value: number): void {
  checkNumber(`sseResilience.${option}`, value, (given) => given >= 0, "a number, 0 or more")
}
