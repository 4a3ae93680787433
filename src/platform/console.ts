/** Prints a warning, on a platform that has a console. */
export function warn(message: string): void {
  if (typeof console !== "undefined") console.warn?.(`[durable-streams] ${message}`)
}
