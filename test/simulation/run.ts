import { parseArgs } from "node:util"
import { runCompareAndSet } from "./compare-and-set/compare-and-set.ts"
import { runOutbox } from "./outbox/outbox.ts"
import { runProducer } from "./producers/producer.ts"
import { runReader } from "./readers/reader.ts"
import type { RunOptions } from "./simulation-failure.ts"
import { runSubscriptions } from "./subscriptions/subscriptions.ts"
import { runWebhooks } from "./subscriptions/webhooks.ts"
import { runViews } from "./views/views.ts"
import { runTabs } from "./tabs/tabs.ts"

/** What can be simulated, by the name given to `--only`. */
const suites: Record<string, (seed: number, options: RunOptions) => Promise<void>> = {
  readers: runReader,
  producers: runProducer,
  outbox: runOutbox,
  "compare-and-set": runCompareAndSet,
  subscriptions: runSubscriptions,
  webhooks: runWebhooks,
  views: runViews,
  tabs: runTabs,
}

const USAGE = `npm run simulate -- [--seeds N] [--start S] [--only ${Object.keys(suites).join("|")}] [--seed S --verbose]`

async function main(): Promise<number> {
  // The client then does not warn of the outages that the runs are made of.
  process.env["NODE_ENV"] = "test"
  const { values } = parseArgs({
    options: {
      seeds: { type: "string", default: "10000" },
      start: { type: "string", default: "1" },
      seed: { type: "string" },
      only: { type: "string" },
      verbose: { type: "boolean", default: false },
    },
  })
  const first = Number(values.seed ?? values.start)
  const count = values.seed === undefined ? Number(values.seeds) : 1
  if (!Number.isSafeInteger(first) || !Number.isSafeInteger(count)) throw new TypeError(USAGE)
  let failures = 0
  for (const [name, run] of Object.entries(suites)) {
    if (values.only !== undefined && values.only !== name) continue
    const startedMs = performance.now()
    const failed = await runSeeds(run, first, count, { verbose: values.verbose })
    const seconds = ((performance.now() - startedMs) / 1000).toFixed(1)
    console.log(`${name}: ${count} seeds from ${first}, ${failed} failed, ${seconds} s`)
    failures += failed
  }
  return failures === 0 ? 0 : 1
}

async function runSeeds(
  run: (seed: number, options: RunOptions) => Promise<void>,
  first: number,
  count: number,
  options: RunOptions,
): Promise<number> {
  let failed = 0
  for (let seed = first; seed < first + count; seed++) {
    try {
      await run(seed, options)
    } catch (error) {
      failed++
      console.error(error instanceof Error ? error.message : error)
    }
  }
  return failed
}

process.exitCode = await main()
