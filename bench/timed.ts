import type { Costs } from "./case.ts"

/**
 * Times work.
 *
 * @param units - how much of it there is
 * @returns milliseconds for one unit: on the clock, and of the processor, which a busy machine disturbs less
 */
export async function timed(units: number, work: () => unknown): Promise<Costs> {
  const cpuBefore = process.cpuUsage()
  const startedAt = performance.now()
  await work()
  const elapsedMs = performance.now() - startedAt
  const { user, system } = process.cpuUsage(cpuBefore)
  return { time: elapsedMs / units, cpu: (user + system) / 1000 / units }
}

/** How much of a full run's work to do. */
export function scaled(full: number, scale: number): number {
  return Math.max(1, Math.round(full * scale))
}

/** Fails a run that did not do its work: its figures would mean nothing. */
export function expectCount(what: string, actual: number, expected: number): void {
  if (actual !== expected) throw new Error(`${what}: ${actual} in place of ${expected}`)
}
