import type { BenchCase, Contender, Row } from "./case.ts"
import type { WorkerReport } from "./worker.ts"

/** Every report of a case, by contender, in the order of the rounds. */
export type Reports = Readonly<Partial<Record<Contender, readonly WorkerReport[]>>>

/** One row's figures. Ratios above 1 are in favour of ours. */
export interface RowSummary {
  readonly name: string
  readonly title: string
  /** The median cost of each contender. */
  readonly costs: Readonly<Partial<Record<Contender, number>>>
  /** How often better than the floor and the peer ours is. */
  readonly ofFloor: number | undefined
  readonly timesPeer: number | undefined
  /** The same by the processor's time, which a busy machine disturbs less. */
  readonly cpuOfFloor: number | undefined
  readonly cpuTimesPeer: number | undefined
  /** Peak memory of each contender's process in bytes. */
  readonly rss: Readonly<Partial<Record<Contender, number>>>
  /** Why a contender has no figures. */
  readonly failures: Readonly<Partial<Record<Contender, string>>>
  readonly reached: boolean | undefined
}

const contenders: readonly Contender[] = ["floor", "peer", "ours"]

/** The figures of one row from all rounds of its case. */
export function summarize({ name }: BenchCase, row: Row, reports: Reports): RowSummary {
  const costs = medians(reports, row.metric)
  const cpu = medians(reports, "cpu")
  const base = row.beyondFloor === true ? (costs.floor ?? 0) : 0
  const beyond = (cost: number | undefined) => (cost === undefined ? undefined : cost - base)
  const ofFloor = row.beyondFloor === true ? undefined : ratio(costs.floor, costs.ours)
  const timesPeer = ratio(beyond(costs.peer), beyond(costs.ours))
  const isTime = row.metric === "time"
  return {
    name,
    title: row.title,
    costs,
    ofFloor,
    timesPeer,
    cpuOfFloor: isTime ? ratio(cpu.floor, cpu.ours) : undefined,
    cpuTimesPeer: isTime ? ratio(cpu.peer, cpu.ours) : undefined,
    rss: medians(reports, "rss"),
    failures: failures(reports),
    reached: isReached(row, {
      ofFloor,
      timesPeer,
      ours: costs.ours,
      peerRan: reports.peer?.every(({ kind }) => kind === "measured") ?? false,
    }),
  }
}

function isReached(
  { target: { ofFloor, timesPeer, atMost } }: Row,
  figures: {
    ofFloor: number | undefined
    timesPeer: number | undefined
    ours: number | undefined
    peerRan: boolean
  },
): boolean | undefined {
  if (ofFloor === undefined && timesPeer === undefined && atMost === undefined) return undefined
  if (figures.ours === undefined) return false
  if (ofFloor !== undefined && !((figures.ofFloor ?? 0) >= ofFloor)) return false
  if (atMost !== undefined && figures.ours > atMost) return false
  return timesPeer === undefined || !figures.peerRan || (figures.timesPeer ?? 0) >= timesPeer
}

function medians(reports: Reports, metric: string): Partial<Record<Contender, number>> {
  const result: Partial<Record<Contender, number>> = {}
  for (const contender of contenders) {
    const values = (reports[contender] ?? [])
      .map((report) => (report.kind === "measured" ? report.costs[metric] : undefined))
      .filter((value) => value !== undefined)
    if (values.length > 0) result[contender] = median(values)
  }
  return result
}

function failures(reports: Reports): Partial<Record<Contender, string>> {
  const result: Partial<Record<Contender, string>> = {}
  for (const contender of contenders) {
    const failed = reports[contender]?.find((report) => report.kind === "failed")
    if (failed !== undefined) result[contender] = failed.reason
  }
  return result
}

function ratio(of: number | undefined, to: number | undefined): number | undefined {
  return of === undefined || to === undefined ? undefined : of / to
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  const upper = sorted[middle] ?? NaN
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? NaN) + upper) / 2
}
