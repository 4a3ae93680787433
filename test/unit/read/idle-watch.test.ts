import { afterEach, beforeEach, describe, expect, it, vi } from "vitest"
import { IdleWatch } from "../../../src/read/idle-watch.ts"

let noticed: string[]
let watch: IdleWatch
const url = "https://streams.test/s"

beforeEach(() => {
  vi.useFakeTimers({ now: 1_000_000 })
  noticed = []
  watch = new IdleWatch(url, { onIdle: ({ kind }) => void noticed.push(kind) })
})
afterEach(() => {
  watch.end()
  expect(vi.getTimerCount()).toBe(0)
  vi.useRealTimers()
})

/** The machine sleeps: the clock goes on, timers do not. */
function sleep(ms: number): void {
  vi.setSystemTime(Date.now() + ms)
}

describe("the watch over a wait for the network", () => {
  it("notices silence once it has lasted, and says so once", () => {
    watch.listen(75_000)
    vi.advanceTimersByTime(74_999)
    expect(noticed).toEqual([])
    vi.advanceTimersByTime(1)
    expect(noticed).toEqual(["timeout"])
    vi.advanceTimersByTime(600_000)
    expect(noticed).toEqual(["timeout"])
  })

  it("tells how long the wait that it ends could last, not an earlier one's", () => {
    const messages: string[] = []
    const twice = new IdleWatch(url, { onIdle: ({ error }) => void messages.push(error.message) })
    twice.listen(1000)
    twice.heard()
    twice.listen(3000)
    vi.advanceTimersByTime(3000)
    expect(messages).toEqual([expect.stringContaining("3000 ms")])
  })

  it("notices silence shorter than its tick in time", () => {
    watch.listen(300)
    vi.advanceTimersByTime(299)
    expect(noticed).toEqual([])
    vi.advanceTimersByTime(1)
    expect(noticed).toEqual(["timeout"])
  })

  it("begins anew with every sound", () => {
    for (let sound = 0; sound < 20; sound++) {
      watch.listen(75_000)
      vi.advanceTimersByTime(70_000)
      watch.heard()
    }
    expect(noticed).toEqual([])
  })

  it("does not count the time that a consumer takes", () => {
    watch.listen(10_000)
    vi.advanceTimersByTime(1)
    watch.heard()
    vi.advanceTimersByTime(3_600_000)
    expect(noticed).toEqual([])
    watch.listen(10_000)
    vi.advanceTimersByTime(9_999)
    expect(noticed).toEqual([])
    vi.advanceTimersByTime(1)
    expect(noticed).toEqual(["timeout"])
  })

  it("follows a wait that allows less than the one before", () => {
    watch.listen(75_000)
    vi.advanceTimersByTime(1)
    watch.heard()
    watch.listen(100)
    vi.advanceTimersByTime(100)
    expect(noticed).toEqual(["timeout"])
  })

  it("waits for ever where it is told to", () => {
    watch.listen(Infinity)
    vi.advanceTimersByTime(24 * 3_600_000)
    expect(noticed).toEqual([])
  })

  it("notices within seconds of waking that the machine slept, whatever the timeout", () => {
    watch.listen(Infinity)
    vi.advanceTimersByTime(12_000)
    sleep(3_600_000)
    expect(noticed).toEqual([])
    vi.advanceTimersByTime(6_000)
    expect(noticed).toEqual(["suspended"])
  })

  it("notices it also where the machine slept between two waits", () => {
    watch.listen(75_000)
    vi.advanceTimersByTime(1000)
    watch.heard()
    sleep(60_000)
    watch.listen(75_000)
    vi.advanceTimersByTime(6_000)
    expect(noticed).toEqual(["suspended"])
  })

  it("takes a busy machine for no sleep", () => {
    watch.listen(75_000)
    vi.advanceTimersByTime(4_000)
    sleep(9_000)
    vi.advanceTimersByTime(5_000)
    expect(noticed).toEqual([])
  })

  it("late timers of a hidden tab, once a minute, are no suspension of a stream that goes on", () => {
    watch.listen(75_000)
    for (let minute = 0; minute < 10; minute++) {
      vi.advanceTimersByTime(4_999)
      sleep(56_000)
      vi.advanceTimersByTime(1)
      // The stream emits before the next timer.
      watch.heard()
      watch.listen(75_000)
    }
    expect(noticed).toEqual([])
  })

  it("a clock that is set back does not make the wait endless", () => {
    watch.listen(20_000)
    vi.advanceTimersByTime(10_000)
    sleep(-3_600_000)
    vi.advanceTimersByTime(26_000)
    expect(noticed).toEqual(["timeout"])
  })

  it("needs one timer, however many sounds, and none once it is over", () => {
    for (let sound = 0; sound < 1000; sound++) {
      watch.listen(75_000)
      watch.heard()
    }
    expect(vi.getTimerCount()).toBe(1)
    watch.end()
    expect(vi.getTimerCount()).toBe(0)
    watch.heard()
    watch.end()
  })
})
