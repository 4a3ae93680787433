import { describe, expect, it, vi } from "vitest"
import type { OriginLocks } from "../../../src/platform/origin.ts"
import { Seat } from "../../../src/tabs/seat.ts"
import { SimulatedLocks } from "../../support/origin/locks.ts"

function sit(locks: OriginLocks) {
  const events: string[] = []
  const seat = new Seat(locks, "lock", {
    onGranted: (isStolen) => void events.push(isStolen ? "stolen" : "granted"),
    onLost: () => void events.push("lost"),
    onDenied: () => void events.push("denied"),
  })
  return { seat, events }
}

describe("a seat", () => {
  it("is granted in turn, and the next one's as soon as it is given up", async () => {
    const locks = new SimulatedLocks()
    const [first, second] = [sit(locks.client("a")), sit(locks.client("b"))]
    first.seat.queue()
    second.seat.queue()
    await vi.waitUntil(() => first.events.length > 0)
    expect([await first.seat.isHeld(), await second.seat.isHeld()]).toEqual([true, false])
    first.seat.standUp()
    await vi.waitUntil(() => second.events.length > 0)
    expect([first.events, second.events]).toEqual([["granted"], ["granted"]])
    second.seat.standUp()
    await vi.waitUntil(() => locks.holders.length === 0)
  })

  it("is lost, once, to one that steals", async () => {
    const locks = new SimulatedLocks()
    const [first, second] = [sit(locks.client("a")), sit(locks.client("b"))]
    first.seat.queue()
    await vi.waitUntil(() => first.events.length > 0)
    second.seat.steal()
    await vi.waitUntil(() => second.events.length > 0)
    expect(await first.seat.isHeld()).toBe(false)
    expect([first.events, second.events]).toEqual([["granted", "lost"], ["stolen"]])
  })

  it("that the platform does not show any more is given up: without that, its only reader waits for itself", async () => {
    const locks = new SimulatedLocks()
    const own = locks.client("a")
    let isShown = true
    const query = () => (isShown ? own.query() : Promise.resolve({ held: [] }))
    const { seat, events } = sit({ request: own.request, query })
    seat.queue()
    await vi.waitUntil(() => events.length > 0)
    isShown = false
    expect([await seat.isHeld(), await seat.isHeld()]).toEqual([false, false])
    expect(events).toEqual(["granted", "lost"])
    await vi.waitUntil(() => locks.holders.length === 0)
  })

  it.each<[string, () => Promise<never>]>([
    [
      "throws",
      () => {
        throw new DOMException("no storage here", "SecurityError")
      },
    ],
    ["rejects", () => Promise.reject(new DOMException("no storage here", "SecurityError"))],
  ])("is denied if the platform %s", async (_, request) => {
    const { seat, events } = sit({ request, query: () => Promise.reject(new Error("no")) })
    seat.queue()
    await vi.waitUntil(() => events.length > 0)
    expect(events).toEqual(["denied"])
  })

  it("that was given up before its turn leaves the queue, and gives back what it stole", async () => {
    const locks = new SimulatedLocks()
    const [first, second, third] = [
      sit(locks.client("a")),
      sit(locks.client("b")),
      sit(locks.client("c")),
    ]
    first.seat.queue()
    await vi.waitUntil(() => first.events.length > 0)
    second.seat.queue()
    second.seat.standUp()
    third.seat.steal()
    third.seat.standUp()
    await vi.waitUntil(() => locks.holders.length === 0)
    expect([second.events, third.events]).toEqual([[], []])
  })
})
