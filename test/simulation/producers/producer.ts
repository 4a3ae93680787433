import { describeRecord } from "../../support/faulty-network/request-record.ts"
import { SeededRandom } from "../../support/seeded-random.ts"
import { runInVirtualTime, type VirtualRunReport } from "../../support/virtual-time.ts"
import { SimulationFailure, type RunOptions } from "../simulation-failure.ts"
import { checkConduct, checkLifetime } from "./checks.ts"
import { ProducerRun, type ProducerOutcome } from "./run.ts"
import { drawProducerScenario, type ProducerScenario } from "./scenario.ts"

const DEADLINE_MS = 24 * 3_600_000
const MAX_STEPS = 50_000

/** One seeded run of producers. Rejects with a {@link SimulationFailure} if a property does not hold. */
export async function runProducer(seed: number, options: RunOptions = {}): Promise<void> {
  const random = new SeededRandom(seed)
  const scenario = drawProducerScenario(random.fork())
  let run: ProducerRun | undefined
  const { error: consoleError } = console
  console.error = () => undefined
  try {
    const report = await runInVirtualTime(
      {
        seed,
        startMs: scenario.startMs,
        deadlineMs: DEADLINE_MS,
        maxSteps: MAX_STEPS,
        traceTimers: options.verbose ?? false,
        stacks: options.verbose ?? false,
      },
      async (clock) => {
        run = new ProducerRun(scenario, clock, random)
        return run.perform()
      },
    )
    const problems = run ? checkAll(run, scenario, report) : []
    if (problems.length > 0) {
      throw new SimulationFailure(seed, problems, describe(options, scenario, run, report.value))
    }
  } catch (error) {
    if (error instanceof SimulationFailure) throw error
    const problem = error instanceof Error ? (error.stack ?? error.message) : String(error)
    throw new SimulationFailure(seed, [problem], describe(options, scenario, run, undefined))
  } finally {
    console.error = consoleError
  }
}

function checkAll(
  run: ProducerRun,
  scenario: ProducerScenario,
  report: VirtualRunReport<ProducerOutcome>,
): string[] {
  const { lifetimes, logs, closed } = report.value
  return [
    ...lifetimes.flatMap((lifetime, index) =>
      checkLifetime(lifetime, logs[index] ?? [], scenario, closed),
    ),
    ...checkConduct(run, scenario, report.value),
    ...run.network.leaks(),
    ...report.leftoverTimers.map((timer) => `a timer is left: ${timer.origin ?? timer.dueMs}`),
    ...report.unhandledRejections.map((reason) => `unhandled rejection: ${String(reason)}`),
  ]
}

function describe(
  options: RunOptions,
  scenario: ProducerScenario,
  run: ProducerRun | undefined,
  outcome: ProducerOutcome | undefined,
): string[] {
  if (!options.verbose) return []
  const lifetimes = (outcome?.lifetimes ?? []).map((lifetime) => ({
    owner: lifetime.plan.owner,
    died: lifetime.died,
    state: lifetime.producer.state,
    epoch: lifetime.producer.epoch,
    accepted: lifetime.accepted,
    sent: [...lifetime.sent].map(([message, end]) => `${message}: ${String(end)}`),
    errors: lifetime.errors.map(({ error, atMs }) => `${atMs} ms: ${String(error)}`),
    ending: `${lifetime.endedMs} ms: ${String(lifetime.ending)}`,
    undelivered: lifetime.undelivered,
    indeterminateCount: lifetime.indeterminateCount,
  }))
  return [
    JSON.stringify(scenario, undefined, 2),
    ...(run?.network.records ?? []).map(describeRecord),
    ...(run?.wires.flatMap(({ posts }) => posts) ?? []).map((post) => JSON.stringify(post)),
    JSON.stringify(lifetimes, undefined, 2),
    JSON.stringify(outcome?.logs ?? null),
  ]
}
