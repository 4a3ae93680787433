import { DurableStreamError } from "../errors/durable-stream-error.ts"
import { checkDuration, checkSignal } from "../http/endpoint.ts"
import { documentVisibility, type VisibilitySource } from "../platform/visibility.ts"
import { START_OFFSET, type Offset } from "../protocol/offset.ts"
import type { StreamEvent } from "./stream-event.ts"
import type {
  LiveMode,
  ReadOptions,
  SSEResilienceOptions,
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
  readonly sse: Required<SSEResilienceOptions>
  readonly idleTimeoutMs: number
  readonly visibility: VisibilitySource | undefined
  readonly readAhead: number
}

const DEFAULT_IDLE_TIMEOUT_MS = 75_000

/**
 * Checks the options of a read and fills in the defaults.
 *
 * @throws DurableStreamError `BAD_REQUEST` that names the option
 * @throws InvalidSignalError where the signal is none
 */
export function sessionSettings(options: ReadOptions): SessionSettings {
  checkSignal(options.signal)
  const { offset = START_OFFSET, live = true, readAhead = 1 } = options
  if (typeof offset !== "string" || offset === "") {
    throw badOption("offset", 'a stored offset, "-1" or "now"', offset)
  }
  if (![true, false, "long-poll", "sse"].includes(live)) {
    throw badOption("live", 'true, false, "long-poll" or "sse"', live)
  }
  if (!(readAhead === Infinity || Number.isInteger(readAhead)) || readAhead < 0) {
    throw badOption("readAhead", "a whole number, 0 or more", readAhead)
  }
  return {
    offset,
    live,
    json: options.json ?? false,
    signal: options.signal,
    onError: checkFunction("onError", options.onError),
    observe: checkFunction("observe", options.observe),
    sse: sseSettings(options.sseResilience ?? {}),
    idleTimeoutMs: checkDuration("idleTimeoutMs", options.idleTimeoutMs ?? DEFAULT_IDLE_TIMEOUT_MS),
    visibility: visibilityOf(options.pauseWhenHidden ?? true),
    readAhead,
  }
}

function sseSettings(options: SSEResilienceOptions): Required<SSEResilienceOptions> {
  const backoffBaseDelay = checkCount("backoffBaseDelay", options.backoffBaseDelay ?? 100)
  return {
    minConnectionDuration: checkCount(
      "minConnectionDuration",
      options.minConnectionDuration ?? 1000,
    ),
    maxShortConnections: checkCount("maxShortConnections", options.maxShortConnections ?? 3),
    backoffBaseDelay,
    backoffMaxDelay: Math.max(
      backoffBaseDelay,
      checkCount("backoffMaxDelay", options.backoffMaxDelay ?? 5000),
    ),
    logWarnings: options.logWarnings ?? true,
  }
}

function visibilityOf(option: boolean | VisibilitySource): VisibilitySource | undefined {
  if (option === true) return documentVisibility()
  if (option === false) return undefined
  // JavaScript callers can give anything.
  if (typeof (option as Partial<VisibilitySource> | null)?.subscribe === "function") return option
  throw badOption("pauseWhenHidden", "a boolean or a VisibilitySource", option)
}

function checkCount(option: string, value: number): number {
  if (typeof value === "number" && value >= 0) return value
  throw badOption(`sseResilience.${option}`, "a number, 0 or more", value)
}

function checkFunction<T>(option: string, value: T): T {
  if (value === undefined || typeof value === "function") return value
  throw badOption(option, "a function", value)
}

function badOption(option: string, rule: string, value: unknown): DurableStreamError {
  const shown = typeof value === "object" ? "an object" : JSON.stringify(value)
  return new DurableStreamError(
    `The option ${option} must be ${rule}, not ${shown}.`,
    "BAD_REQUEST",
  )
}
