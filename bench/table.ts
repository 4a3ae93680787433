import type { Contender, Row, Target } from "./case.ts"
import type { RowSummary } from "./summary.ts"
import { megabytes } from "./units.ts"

const heads = [
  "case",
  "floor",
  "peer",
  "ours",
  "ours / floor",
  "ours / peer",
  "by CPU",
  "peak memory (floor, peer, ours)",
  "target",
  "reached",
]

/** The figures as a Markdown table. */
export function formatTable(lines: readonly { row: Row; summary: RowSummary }[]): string {
  const body = lines.map(({ row, summary }) => cells(row, summary))
  const widths = heads.map((head, column) =>
    Math.max(head.length, ...body.map((line) => line[column]?.length ?? 0)),
  )
  const format = (line: readonly string[]) =>
    `| ${line.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(" | ")} |`
  const rule = widths.map((width) => "-".repeat(width))
  return [format(heads), format(rule), ...body.map(format)].join("\n")
}

function cells(row: Row, summary: RowSummary): string[] {
  const { costs, failures, rss } = summary
  const show = (contender: Contender) => {
    const cost = costs[contender]
    if (cost !== undefined) return row.show(cost)
    return failures[contender] === undefined ? "–" : `failed: ${firstWords(failures[contender])}`
  }
  const memory = ([rss.floor, rss.peer, rss.ours] as const)
    .map((bytes) => (bytes === undefined ? "–" : megabytes(bytes)))
    .join(", ")
  return [
    row.title,
    show("floor"),
    show("peer"),
    show("ours"),
    times(summary.ofFloor),
    times(summary.timesPeer),
    `${times(summary.cpuOfFloor)}, ${times(summary.cpuTimesPeer)}`,
    memory,
    showTarget(row, row.target),
    reached(summary),
  ]
}

function reached({ failures, reached: isReached }: RowSummary): string {
  if (failures.ours !== undefined) return "failed"
  return isReached === undefined ? "" : isReached ? "yes" : "NO"
}

function showTarget({ show }: Row, { ofFloor, timesPeer, atMost }: Target): string {
  return [
    ofFloor === undefined ? [] : `≥ ${ofFloor.toFixed(2)} floor`,
    timesPeer === undefined ? [] : `≥ ${timesPeer} × peer`,
    atMost === undefined ? [] : `≤ ${show(atMost)}`,
  ]
    .flat()
    .join(", ")
}

function times(ratio: number | undefined): string {
  if (ratio === undefined) return "–"
  return ratio >= 10 ? ratio.toFixed(0) : ratio.toFixed(2)
}

function firstWords(reason: string): string {
  return reason.split("\n", 1)[0]?.replaceAll("|", "/").slice(0, 60) ?? ""
}
