/**
 * Calls what only looks on. It must not end what it looks at: what it throws, or rejects with where it is asynchronous, goes
 * to the console.
 *
 * @param option - its name, for the console
 */
export function callObserver(option: string, call: () => unknown): void {
  const report = (error: unknown) => {
    console.error(`[durable-streams] ${option} threw`, error)
  }
  try {
    const result = call()
    // What a callback is not meant to return, and returns where it is asynchronous.
    if (result !== undefined) Promise.resolve(result).catch(report)
  } catch (error) {
    report(error)
  }
}
