import { SeededRandom } from "./seeded-random.ts"
import { VirtualClock, type VirtualClockOptions } from "./virtual-clock.ts"
import { VirtualGlobals } from "./virtual-globals.ts"
import type { VirtualTimer } from "./virtual-timer.ts"

/** Nothing is left that could ever happen, yet the run has not finished. */
export class VirtualDeadlockError extends Error {
  override readonly name = "VirtualDeadlockError"
}

/** The run went past its virtual deadline or its number of steps. */
export class VirtualRunawayError extends Error {
  override readonly name = "VirtualRunawayError"
}

/** Options of {@link runInVirtualTime}. */
export interface VirtualTimeOptions extends VirtualClockOptions {
  /** Seeds `Math.random` for the run. */
  seed?: number
  /** Virtual time the run may take before it counts as a runaway; default one day. */
  deadlineMs?: number
  /** False leaves out the stacks of errors made in the run: a third of the time of a run with many failures. */
  stacks?: boolean
  /** Timers that may fire before the run counts as a runaway; default 100,000. */
  maxSteps?: number
}

/** What a run did, told after it ended. */
export interface VirtualRunReport<T> {
  value: T
  elapsedMs: number
  steps: number
  /** The client's timers (set through the globals) that nobody cleared. */
  leftoverTimers: VirtualTimer[]
  /** Rejections that nobody handled until the end of the run. */
  unhandledRejections: unknown[]
}

const DAY_MS = 86_400_000

/**
 * Run `body` with the globals' timers and clocks replaced by virtual ones: time passes only when nothing else can happen,
 * and then at once. Rejects with what `body` rejected with, with a deadlock or with a runaway. One run at a time in a process.
 */
export async function runInVirtualTime<T>(
  options: VirtualTimeOptions,
  body: (clock: VirtualClock) => Promise<T>,
): Promise<VirtualRunReport<T>> {
  const clock = new VirtualClock(options)
  const deadlineMs = options.deadlineMs ?? DAY_MS
  const maxSteps = options.maxSteps ?? 100_000
  const unhandledRejections: unknown[] = []
  const onUnhandled = (reason: unknown): void => void unhandledRejections.push(reason)
  process.on("unhandledRejection", onUnhandled)
  const globals = VirtualGlobals.install(clock, new SeededRandom(options.seed ?? 0))
  const { stackTraceLimit } = Error
  if (options.stacks === false) Error.stackTraceLimit = 0
  let steps = 0
  try {
    const outcome: { value?: { result: T }; failure?: { error: unknown } } = {}
    body(clock).then(
      (result) => void (outcome.value = { result }),
      (error: unknown) => void (outcome.failure = { error }),
    )
    for (;;) {
      await globals.untilQuiet()
      if (outcome.failure) throw outcome.failure.error
      if (outcome.value) break
      if (!clock.step()) {
        throw new VirtualDeadlockError(`nothing left to happen after ${clock.elapsedMs} ms`)
      }
      steps++
      if (steps > maxSteps) throw new VirtualRunawayError(`more than ${maxSteps} timers fired`)
      if (clock.elapsedMs > deadlineMs) throw new VirtualRunawayError(`past ${deadlineMs} ms`)
    }
    await globals.untilQuiet()
    const leftoverTimers = clock.clientTimers()
    const value = outcome.value.result
    return { value, elapsedMs: clock.elapsedMs, steps, leftoverTimers, unhandledRejections }
  } finally {
    // What a failed run leaves behind must set its next timer here, where it never fires, not in the next run.
    await globals.untilQuiet()
    globals.restore()
    Error.stackTraceLimit = stackTraceLimit
    process.off("unhandledRejection", onUnhandled)
  }
}
