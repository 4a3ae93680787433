import { describe, expect, it } from "vitest"
import type { VisibilitySource } from "../../../src/index.ts"
import { watchPauses } from "../../../src/read/pause.ts"

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

function watched(screen: Screen): { changes: string[]; stop: () => void } {
  const changes: string[] = []
  const stop = watchPauses(screen, (change) => changes.push(change))
  return { changes, stop }
}

describe("pauses by visibility", () => {
  it("a screen that is shown is none, one that is hidden from the start is", () => {
    expect(watched(new Screen(false)).changes).toEqual([])
    expect(watched(new Screen(true)).changes).toEqual(["pause"])
  })

  it("each change is told once, however often the screen repeats itself", () => {
    const screen = new Screen()
    const { changes } = watched(screen)
    for (const hidden of [true, true, false, false, false, true]) screen.turn(hidden)
    expect(changes).toEqual(["pause", "resume", "pause"])
  })

  it("a change that was missed is made up for by the next notice", () => {
    const screen = new Screen()
    const { changes } = watched(screen)
    screen.hidden = true
    screen.hidden = false
    screen.turn(false)
    expect(changes).toEqual([])
    screen.turn(true)
    expect(changes).toEqual(["pause"])
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
    expect(() => watchPauses(source, () => undefined)).toThrow(
      expect.objectContaining({
        code: "BAD_REQUEST",
        message: expect.stringContaining("pauseWhenHidden.subscribe") as string,
      }),
    )
  })
})
