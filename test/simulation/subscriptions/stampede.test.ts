import { expect, it } from "vitest"
import { runWorker } from "../../../src/subscriptions/index.ts"
import { inCalmWorld } from "./calm-world.ts"

const WORKERS = 300
const WAKES = 30
/** So many wakes tell the workers that they are many. */
const LEARNING_WAKES = 5
const GAP_MS = 10_000

it(
  `${WORKERS} workers of one subscription make no more than one claim each for a wake, and not all at once`,
  { timeout: 120_000 },
  async () => {
    await inCalmWorld(
      ["a"],
      async (world) => {
        const { clock, requests } = world
        const latencies: number[] = []
        let appendedAtMs = 0
        const workers = Array.from({ length: WORKERS }, () =>
          runWorker(world.subscriptions, "jobs", {
            worker: "w",
            onBatch: () => void latencies.push(clock.elapsedMs - appendedAtMs),
          }),
        )
        await clock.sleep(GAP_MS)
        // For each worker: the subscription, the wake stream's tail, its stored events and live ones, a claim.
        expect(requests.length).toBeLessThanOrEqual(WORKERS * 5)
        const startMs = clock.elapsedMs
        requests.length = 0
        for (let n = 0; n < WAKES; n++) {
          appendedAtMs = clock.elapsedMs
          await world.append("work/a")
          await clock.sleep(GAP_MS)
        }
        expect(latencies).toHaveLength(WAKES)

        const polls = (WAKES * GAP_MS) / 30_000
        const claims = world.seen("POST jobs/claim")
        expect(claims.length).toBeLessThanOrEqual(WORKERS * (WAKES + polls))
        // Each wake: a read, an acknowledgement and the end of the claim. The rest are live reads of the wake stream.
        const others = requests.filter(({ name }) => !/claim|wake/.test(name))
        expect(others.length).toBeLessThanOrEqual(WAKES * 3)
        const reads = requests.filter(({ name }) => name === "GET wake")
        expect(reads.length).toBeLessThanOrEqual(WORKERS * WAKES)

        const learntMs = startMs + LEARNING_WAKES * GAP_MS
        const most = mostAtOnce(claims.map(({ atMs }) => atMs).filter((atMs) => atMs >= learntMs))
        console.log(
          `${claims.length} claims for ${WAKES} wakes, at most ${most} in 100 ms; handled after at most ${Math.round(Math.max(...latencies))} ms`,
        )
        expect(most).toBeLessThanOrEqual(WORKERS / 10)
        await Promise.all(workers.map((worker) => worker.stop()))
      },
      30_000,
      1_000_000,
    )
  },
)

function mostAtOnce(timesMs: readonly number[]): number {
  return Math.max(
    ...timesMs.map((from) => timesMs.filter((at) => at >= from && at < from + 100).length),
  )
}
