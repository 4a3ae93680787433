import { describe, expect, it } from "vitest"
import {
  runInVirtualTime,
  VirtualDeadlockError,
  VirtualRunawayError,
} from "../../support/virtual-time.ts"

const HOUR_MS = 3_600_000

function sleep(delayMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, delayMs))
}

/** An hour of virtual time would time the test out if any of it were real. */
describe("virtual time", () => {
  it("fires timers in the order they are due, those due together in the order they were set", async () => {
    const fired: string[] = []
    const report = await runInVirtualTime({}, async () => {
      setTimeout((name: string) => fired.push(name), 30, "c")
      setTimeout(() => fired.push("a"), 10)
      setTimeout(() => fired.push("b"), 10)
      const cleared = setTimeout(() => fired.push("never"), 20)
      clearTimeout(cleared)
      await sleep(HOUR_MS)
      return "done"
    })
    expect(fired).toEqual(["a", "b", "c"])
    expect(report).toMatchObject({ value: "done", elapsedMs: HOUR_MS, leftoverTimers: [] })
  })

  it("lets all promise work come to rest before time passes, streams and bodies included", async () => {
    const report = await runInVirtualTime({}, async () => {
      const startMs = Date.now()
      setTimeout(() => expect.unreachable("time passed while promises were at work"), 1)
      const body = new ReadableStream<Uint8Array>({
        pull: (controller) => {
          controller.enqueue(new Uint8Array(7))
          if (Date.now() > startMs) controller.error(new Error("late"))
          controller.close()
        },
      })
      const length = (await new Response(body.pipeThrough(new TransformStream())).arrayBuffer())
        .byteLength
      for (let hop = 0; hop < 20; hop++) await new Promise((resolve) => setImmediate(resolve))
      return { length, elapsedMs: Date.now() - startMs }
    })
    expect(report.value).toEqual({ length: 7, elapsedMs: 0 })
  })

  it("shows the same time on both clocks and puts the real globals back", async () => {
    const before = { setTimeout, now: Date.now, perf: performance.now, random: Math.random }
    const report = await runInVirtualTime({ startMs: 1_000_000, seed: 7 }, async () => {
      await sleep(250)
      return { now: Date.now(), perf: performance.now(), random: Math.random() }
    })
    const again = await runInVirtualTime({ seed: 7 }, async () => Math.random())
    expect(report.value).toMatchObject({ now: 1_000_250, perf: 250, random: again.value })
    expect({
      setTimeout,
      now: Date.now,
      perf: performance.now,
      random: Math.random,
    }).toEqual(before)
  })

  it("tells a deadlock from a run that never ends", async () => {
    const stuck = runInVirtualTime({}, () => new Promise(() => undefined))
    await expect(stuck).rejects.toBeInstanceOf(VirtualDeadlockError)
    const endless = runInVirtualTime({ deadlineMs: HOUR_MS }, async () => {
      for (;;) await sleep(1000)
    })
    await expect(endless).rejects.toBeInstanceOf(VirtualRunawayError)
    const hot = runInVirtualTime({ maxSteps: 100 }, async () => {
      for (;;) await sleep(0)
    })
    await expect(hot).rejects.toBeInstanceOf(VirtualRunawayError)
  })

  it("reports the client's timers that are left, not those of the test's own world", async () => {
    const report = await runInVirtualTime({ traceTimers: true }, async (clock) => {
      clock.after(5000, () => undefined)
      setInterval(() => undefined, 1000)
      await clock.sleep(1500)
    })
    expect(report.leftoverTimers.map((timer) => timer.everyMs)).toEqual([1000])
    expect(report.leftoverTimers[0]?.origin).toContain("virtual-time.test.ts")
  })

  it("reports rejections that nobody handled, and passes on what the run rejects with", async () => {
    await expect(
      runInVirtualTime({}, async () => {
        await sleep(1)
        throw new Error("the run's own")
      }),
    ).rejects.toThrow("the run's own")
  })

  it("sleeps like a laptop: the wall clock leaps, timers stay frozen or are overdue", async () => {
    const report = await runInVirtualTime({}, async (clock) => {
      const startMs = Date.now()
      const fired: Array<[string, number, number]> = []
      const note = (name: string): void =>
        void fired.push([name, Date.now() - startMs, performance.now()])
      setTimeout(note, 1000, "frozen")
      await clock.sleep(400)
      clock.suspend(HOUR_MS, "frozen")
      await clock.sleep(1000)
      setTimeout(note, 5000, "overdue")
      clock.suspend(HOUR_MS, "overdue")
      await clock.sleep(1)
      return fired
    })
    expect(report.value).toEqual([
      ["frozen", HOUR_MS + 1000, 1000],
      ["overdue", 2 * HOUR_MS + 1400, HOUR_MS + 1400],
    ])
  })
})
