import { describeRecord } from "../../support/faulty-network/request-record.ts"
import { SeededRandom } from "../../support/seeded-random.ts"
import { runInVirtualTime, type VirtualRunReport } from "../../support/virtual-time.ts"
import {
  checkLeftOut,
  checkProducerConduct,
  checkProducerEnding,
  checkSent,
  checkTwins,
  checkWrittenOnce,
} from "./checks.ts"
import { ProducerRun, type ProducerOutcome } from "./run.ts"
import { drawProducerScenario, type ProducerScenario } from "./scenario.ts"
import { SimulationFailure, type RunOptions } from "../simulation-failure.ts"

const DEADLINE_MS = 24 * 3_600_000
const MAX_STEPS = 50_000

/** One seeded run of a producer. Rejects with a {@link SimulationFailure} when a property does not hold. */
export async function runProducer(seed: number, options: RunOptions = {}): Promise<void> {
  const random = new SeededRandom(seed)
  const scenario = drawProducerScenario(random.fork())
  let run: ProducerRun | undefined
  const complain = console.error
  console.error = () => undefined
  try {
    const report = await runInVirtualTime(
      { seed, deadlineMs: DEADLINE_MS, maxSteps: MAX_STEPS, traceTimers: options.verbose ?? false },
      async (clock) => {
        run = new ProducerRun(scenario, clock, random)
        return run.perform()
      },
    )
    const problems = run ? checkAll(run, scenario, report) : []
    if (problems.length > 0) {
      throw new SimulationFailure(seed, problems, tell(options, scenario, run, report.value))
    }
  } catch (error) {
    if (error instanceof SimulationFailure) throw error
    const problem = error instanceof Error ? (error.stack ?? error.message) : String(error)
    throw new SimulationFailure(seed, [problem], tell(options, scenario, run, undefined))
  } finally {
    console.error = complain
  }
}

function checkAll(
  run: ProducerRun,
  scenario: ProducerScenario,
  report: VirtualRunReport<ProducerOutcome>,
): string[] {
  const outcome = report.value
  return [
    ...outcome.writers.flatMap((writer, index) => {
      const log = outcome.logs[index] ?? []
      return [
        ...writer.problems,
        ...checkWrittenOnce(writer, log),
        ...checkLeftOut(writer, scenario),
        ...checkSent(writer, log),
        ...checkProducerEnding(writer, scenario, outcome.closed),
      ]
    }),
    ...checkTwins(outcome.writers),
    ...checkProducerConduct(run, scenario, outcome),
    ...run.network.leaks(),
    ...report.leftoverTimers.map((timer) => `a timer is left: ${timer.origin ?? timer.dueMs}`),
    ...report.unhandledRejections.map((reason) => `unhandled rejection: ${String(reason)}`),
  ]
}

function tell(
  options: RunOptions,
  scenario: ProducerScenario,
  run: ProducerRun | undefined,
  outcome: ProducerOutcome | undefined,
): string[] {
  if (!options.verbose) return []
  const writers = (outcome?.writers ?? []).map(({ producer, sent, ...told }) => ({
    ...told,
    state: producer.state,
    epoch: producer.epoch,
    errors: told.errors.map(String),
    ending: String(told.ending),
    sent: [...sent].map(([message, end]) => `${message}: ${String(end)}`),
  }))
  return [
    JSON.stringify(scenario, undefined, 2),
    ...(run?.network.records ?? []).map(describeRecord),
    ...(run?.wires.flatMap(({ posts }) => posts) ?? []).map((post) => JSON.stringify(post)),
    JSON.stringify(writers, undefined, 2),
    JSON.stringify(outcome?.logs ?? null),
  ]
}
