import { cpus } from "node:os"
import { replaceTable } from "./readme-table.ts"
import { buildAll, type BuiltFiles } from "./build.ts"
import type { BenchCase, Contender, Row } from "./case.ts"
import { benchCases } from "./cases/all.ts"
import { measure, startServer } from "./measure.ts"
import { readOptions } from "./options.ts"
import { Progress } from "./progress.ts"
import { summarize, type Reports, type RowSummary } from "./summary.ts"
import { formatTable } from "./table.ts"
import type { WorkerReport } from "./worker.ts"

const options = readOptions(process.argv.slice(2))
const leftOut: string[] = []
const chosen = benchCases.filter(({ name, notQuick, missing }) => {
  if (options.only.length > 0 && !options.only.some((part) => name.includes(part))) return false
  const reason = options.quick && notQuick !== undefined ? notQuick : missing?.()
  if (reason !== undefined) leftOut.push(`${name} (${reason})`)
  return reason === undefined
})
const files = await buildAll()
const progress = new Progress(
  chosen.reduce((runs, benchCase) => runs + contendersOf(benchCase).length * options.rounds, 0),
)

const machine = `${cpus().length} × ${cpus()[0]?.model.trim() ?? "?"}, Node ${process.version}`
const without = leftOut.length === 0 ? "" : `, without ${leftOut.join(", ")}`
const conditions = `${machine}, ${options.rounds} round(s)${options.quick ? ", quick" : ""}${without}`

const lines: { row: Row; summary: RowSummary; reports: Reports; seconds: number }[] = []
for (const benchCase of chosen) {
  const startedAt = performance.now()
  const reports = await runCase(benchCase, files).catch(nobodyRan)
  const seconds = (performance.now() - startedAt) / 1000
  progress.caseEnds(benchCase.name, seconds)
  for (const row of benchCase.rows) {
    lines.push({ row, summary: summarize(benchCase, row, reports), reports, seconds })
  }
  // After each case: a run that is interrupted keeps what it has.
  writeMarkdown()
}
progress.end()

if (options.json) {
  const { quick, rounds } = options
  const rows = lines.map(({ summary, reports, seconds }) => ({ ...summary, seconds, reports }))
  console.log(JSON.stringify({ machine, quick, rounds, leftOut, rows }, null, 2))
} else {
  console.log(`${conditions}\n\n${formatTable(lines)}`)
}
// A row that is not reached is a figure; a client that cannot do the work is a failure.
for (const { summary } of lines) {
  const reason = summary.failures.ours ?? summary.failures.floor
  if (reason === undefined) continue
  console.error(`${summary.title}: ${reason.split("\n", 1)[0]}`)
  process.exitCode = 1
}

function writeMarkdown(): void {
  if (options.markdown === undefined) return
  const command = ["npm run bench --", ...process.argv.slice(2)].join(" ")
  const caption = `${conditions}, ${new Date().toISOString().slice(0, 10)}: \`${command}\``
  replaceTable(options.markdown, `${caption}\n\n${formatTable(lines)}`)
}

function contendersOf({ floor, withoutPeer }: BenchCase): Contender[] {
  return [
    ...(floor === undefined ? [] : (["floor"] as const)),
    // A quick run says whether the work can be done, not how fast.
    ...(withoutPeer === true || options.quick ? [] : (["peer"] as const)),
    "ours",
  ]
}

/** The reports of a case whose server did not start. */
function nobodyRan(error: unknown): Reports {
  return { ours: [{ kind: "failed", reason: String(error) }] }
}

/** Runs the contenders in turn, so that what disturbs the machine disturbs them alike. */
async function runCase(benchCase: BenchCase, built: BuiltFiles): Promise<Reports> {
  const reports: Partial<Record<Contender, WorkerReport[]>> = {}
  const server = await startServer(benchCase, built)
  try {
    for (let round = 1; round <= options.rounds; round++) {
      for (const contender of contendersOf(benchCase)) {
        // What cannot do the work once is not asked again.
        if (reports[contender]?.some(({ kind }) => kind === "failed")) continue
        progress.step(`${benchCase.name}: ${contender}, round ${round} of ${options.rounds}`)
        const report = await measure(benchCase, contender, server.url, options.scale, built)
        ;(reports[contender] ??= []).push(report)
      }
    }
  } finally {
    await server.stop()
  }
  return reports
}
