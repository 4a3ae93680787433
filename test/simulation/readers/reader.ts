import { stream } from "../../../src/index.ts"
import { describeRecord } from "../../support/faulty-network/request-record.ts"
import { positionOf } from "../../../src/testing/offsets.ts"
import { SeededRandom } from "../../support/seeded-random.ts"
import { runInVirtualTime, type VirtualRunReport } from "../../support/virtual-time.ts"
import { checkContent, checkCompleteness, checkStart, type Evidence } from "./content-checks.ts"
import {
  checkBounds,
  checkEnding,
  checkHealthy,
  checkLeftovers,
  checkRequests,
  checkWaking,
} from "./conduct-checks.ts"
import { Collected } from "./consumers.ts"
import { contentUnits, STREAM_URL } from "./content.ts"
import { ReaderRun, type ReaderOutcome } from "./run.ts"
import { drawScenario, type ReaderScenario } from "./scenario.ts"
import { SimulationFailure, type RunOptions } from "../simulation-failure.ts"

const DEADLINE_MS = 4 * 3_600_000
const MAX_STEPS = 50_000

/** One seeded run of a reader. Rejects with a {@link SimulationFailure} when a property does not hold. */
export async function runReader(seed: number, options: RunOptions = {}): Promise<void> {
  const random = new SeededRandom(seed)
  const scenario = drawScenario(random.fork())
  let run: ReaderRun | undefined
  const resumeProblems: string[] = []
  try {
    const report = await runInVirtualTime(
      {
        seed,
        deadlineMs: DEADLINE_MS,
        maxSteps: MAX_STEPS,
        traceTimers: options.verbose ?? false,
        stacks: options.verbose ?? false,
      },
      async (clock) => {
        run = new ReaderRun(scenario, clock, random)
        const outcome = await run.perform()
        if (random.chance(0.3)) resumeProblems.push(...(await checkResume(run, scenario, outcome)))
        return outcome
      },
    )
    const problems = [...(run ? checkAll(run, scenario, report) : []), ...resumeProblems]
    if (problems.length > 0) {
      throw new SimulationFailure(seed, problems, tell(options, scenario, run, report.value))
    }
  } catch (error) {
    if (error instanceof SimulationFailure) throw error
    const problem = error instanceof Error ? (error.stack ?? error.message) : String(error)
    throw new SimulationFailure(seed, [problem], tell(options, scenario, run, undefined))
  }
}

function checkAll(
  run: ReaderRun,
  scenario: ReaderScenario,
  report: VirtualRunReport<ReaderOutcome>,
): string[] {
  const evidence: Evidence = {
    scenario,
    outcome: report.value,
    whole: contentUnits(run.server, scenario.content),
    closed: run.server.stream("/readers/stream").closed,
    records: run.network.records.slice(0, report.value.requests),
    sseHeartbeatMs: run.server.choices.sseHeartbeatMs,
  }
  return [
    ...checkContent(evidence),
    ...checkCompleteness(evidence),
    ...checkStart(evidence),
    ...checkEnding(evidence),
    ...checkRequests(evidence),
    ...checkLeftovers(evidence),
    ...checkWaking(evidence),
    ...checkHealthy(evidence),
    ...checkBounds(evidence),
    ...run.network.leaks(),
    ...report.leftoverTimers.map((timer) => `a timer is left: ${timer.origin ?? timer.dueMs}`),
    ...report.unhandledRejections.map((reason) => `unhandled rejection: ${String(reason)}`),
  ]
}

/** Property 2 with a second session: what an offset promises is what a fresh read from it gives. */
async function checkResume(
  run: ReaderRun,
  scenario: ReaderScenario,
  outcome: ReaderOutcome,
): Promise<string[]> {
  const offset = outcome.collected.checkpoints.at(-1)?.offset
  const position = offset === undefined ? undefined : positionOf(offset)
  const isHealing = Object.keys(scenario.lastingFaults).length === 0
  if (offset === undefined || position === undefined || !isHealing) return []
  run.network.heal()
  const stored = run.server.stream("/readers/stream").length
  const response = await stream({
    url: STREAM_URL,
    fetch: run.network.fetch,
    offset,
    live: false,
    warnOnHttp: false,
  })
  const again = new Collected()
  if (scenario.content === "json") again.add({ items: await response.json() })
  else again.add({ data: await response.body() })
  const got = scenario.content === "json" ? again.messages : again.bytes
  // More may have been appended while it was read.
  const rest = contentUnits(run.server, scenario.content).slice(position, position + got.length)
  if (position + got.length >= stored && JSON.stringify(got) === JSON.stringify(rest)) return []
  return [`a fresh read from ${position} gives something else than the rest`]
}

function tell(
  options: RunOptions,
  scenario: ReaderScenario,
  run: ReaderRun | undefined,
  outcome: ReaderOutcome | undefined,
): string[] {
  if (!options.verbose) return []
  return [
    JSON.stringify(scenario, undefined, 2),
    ...(run?.network.records ?? []).map(describeRecord),
    ...(outcome?.events ?? []).map((event) => JSON.stringify(event)),
    JSON.stringify(outcome?.collected ?? null),
  ]
}
