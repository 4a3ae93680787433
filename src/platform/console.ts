/** Prints a warning, on a platform that has a console. */
export function warn(message: string): void {
  if (typeof console !== "undefined") console.warn?.(`[durable-streams] ${message}`)
}

/** Prints what the option `debug` requests, on a platform that has a console. */
export function debug(message: string): void {
  if (typeof console !== "undefined") console.debug?.(`[durable-streams] ${message}`)
}

/**
 * Calls what only observes. It must not end what it observes: what it throws, or rejects with if it is asynchronous, goes to
 * the console.
 *
 * @param option - its name, for the console
 */
export function callObserver(option: string, call: () => unknown): void {
  const report = (error: unknown) => {
    if (typeof console !== "undefined") console.error?.(`[durable-streams] ${option} threw`, error)
  }
  try {
    const result = call()
    // What a callback is not meant to return, and returns if it is asynchronous.
    if (result !== undefined) Promise.resolve(result).catch(report)
  } catch (error) {
    report(error)
  }
}

/**
 * Whether a test runner runs the program: what warns of a deployment is no use there.
 *
 * @param other - another value of `NODE_ENV` that counts as well
 */
export function isTestRun(other?: "production"): boolean {
  // Only Node and what imitates it has it.
  const { process } = globalThis as { process?: { env?: { NODE_ENV?: string } } }
  const environment = process?.env?.NODE_ENV
  return environment !== undefined && ["test", other].includes(environment)
}
