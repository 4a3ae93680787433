import { isTestRun, warn } from "../platform/console.ts"

/** Each name between spaces. */
const KNOWN =
  // Reads and requests.
  " url headers params signal fetch fetchOptions backoffOptions requestTimeoutMs warnOnRetry schema offset cursor live json " +
  "onError sseResilience warnOnHttp idleTimeoutMs pauseWhenHidden hiddenGraceMs readAhead maxPageBytes observe " +
  // Handles, creates and forks.
  "contentType batching ttlSeconds expiresAt body closed subOffset " +
  // Producers.
  "producerId epoch autoClaim maxBatchBytes maxBatchItems lingerMs maxInFlight deliveryTimeoutMs highWaterMarkBytes " +
  "maxBufferedBytes "

let hasWarned = false

/**
 * Warns of options that no call of this package has: a name that was misspelt. Once, and not if `NODE_ENV` is "test" or
 * "production".
 */
export function warnOfUnknownOptions(options: object): void {
  if (hasWarned) return
  const unknown = Object.keys(options).filter((name) => !KNOWN.includes(` ${name} `))
  if (unknown.length === 0 || isTestRun("production")) return
  hasWarned = true
  warn(`unknown options: ${unknown.join(", ")}`)
}

let lastWarning: string | undefined

/**
 * Warns of options that are none of the known ones, also if `NODE_ENV` is "test": for calls that only tests make. Not twice in
 * a row of the same.
 */
export function warnOfOptionsBeside(known: readonly string[], call: string, options: object): void {
  const unknown = Object.keys(options).filter((name) => !known.includes(name))
  const warning = `unknown options of ${call}: ${unknown.join(", ")}`
  if (unknown.length === 0 || warning === lastWarning) return
  lastWarning = warning
  warn(warning)
}
