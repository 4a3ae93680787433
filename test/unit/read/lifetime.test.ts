import { describe, expect, it, vi } from "vitest"
import type { VisibilitySource } from "../../../src/index.ts"
import { watchVisibility } from "../../../src/read/lifetime.ts"

/** A visibility that says whatever it is told to, as often as it is told to. */
class Screen implements VisibilitySource {
  hidden: boolean
  readonly listeners = new Set<() => void>()

  constructor(hidden = false) {
    this.hidden = hidden
  }

  subscribe(onChange: () => void): () => void {
    this.listeners.add(onChange)
    return () => void this.listeners.delete(onChange)
  }

  turn(hidden: boolean): void {
    this.hidden = hidden
    for (const listener of this.listeners) listener()
  }
}

function watched(screen: Screen, graceMs = 0): { changes: string[]; stop: () => void } {
  const changes: string[] = []
  const stop = watchVisibility(screen, graceMs, (change) => changes.push(change))
  return { changes, stop }
}

describe("the watch over a visibility", () => {
  it("a screen that is shown is none, one that is hidden from the start is", () => {
    expect(watched(new Screen(false)).changes).toEqual([])
    expect(watched(new Screen(true)).changes).toEqual(["hidden"])
  })

  it("each change is told once, however often the screen repeats itself", () => {
    const screen = new Screen()
    const { changes } = watched(screen)
    for (const hidden of [true, true, false, false, false, true]) screen.turn(hidden)
    expect(changes).toEqual(["hidden", "visible", "hidden"])
  })

  it("a change that was missed is made up for by the next notice", () => {
    const screen = new Screen()
    const { changes } = watched(screen)
    screen.hidden = true
    screen.hidden = false
    screen.turn(false)
    expect(changes).toEqual([])
    screen.turn(true)
    expect(changes).toEqual(["hidden"])
  })

  it("ends with its subscription", () => {
    const screen = new Screen()
    const { changes, stop } = watched(screen)
    stop()
    screen.turn(true)
    expect(changes).toEqual([])
    expect(screen.listeners.size).toBe(0)
  })

  it("a subscription that cannot be ended is refused, not found out at the end", () => {
    const subscribe = () => ({ remove() {} })
    // What JavaScript callers can do.
    const source = { hidden: false, subscribe } as unknown as VisibilitySource
    expect(() => watchVisibility(source, 0, () => undefined)).toThrow(
      expect.objectContaining({
        code: "BAD_REQUEST",
        message: expect.stringContaining("pauseWhenHidden.subscribe") as string,
      }),
    )
  })

  it("reports what stays hidden for longer than hiddenGraceMs, and leaves no timer", () => {
    vi.useFakeTimers()
    const screen = new Screen()
    const { changes, stop } = watched(screen, 5_000)
    screen.turn(true)
    vi.advanceTimersByTime(4_999)
    screen.turn(false)
    vi.advanceTimersByTime(60_000)
    expect(changes).toEqual([])
    screen.turn(true)
    vi.advanceTimersByTime(5_000)
    expect(changes).toEqual(["hidden"])
    screen.turn(false)
    expect(changes).toEqual(["hidden", "visible"])
    screen.turn(true)
    stop()
    expect(vi.getTimerCount()).toBe(0)
    vi.useRealTimers()
  })
})
