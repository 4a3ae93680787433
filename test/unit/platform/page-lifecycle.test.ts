import { afterEach, beforeEach, describe, expect, it, vi } from "vitest"
import {
  documentVisibility,
  isPageHidden,
  onPageLifecycle,
  takeKeepalive,
  type PageLifecycleEvent,
} from "../../../src/platform/page-lifecycle.ts"

interface Page {
  readonly document: EventTarget & { hidden?: boolean; visibilityState?: string }
  readonly window: EventTarget
}

/** A browser's page: the document's events and the window's. */
function installPage(properties: { hidden?: boolean; visibilityState?: string }): Page {
  const document = Object.assign(new EventTarget(), properties)
  const window = new EventTarget()
  vi.stubGlobal("document", document)
  vi.stubGlobal("addEventListener", window.addEventListener.bind(window))
  vi.stubGlobal("removeEventListener", window.removeEventListener.bind(window))
  return { document, window }
}

function pageTransition(type: "pagehide" | "pageshow", persisted: boolean): Event {
  return Object.assign(new Event(type), { persisted })
}

beforeEach(() => {
  vi.useFakeTimers()
})

afterEach(() => {
  vi.runOnlyPendingTimers()
  vi.useRealTimers()
  vi.unstubAllGlobals()
})

describe("onPageLifecycle", () => {
  function watch() {
    const page = installPage({ hidden: false, visibilityState: "visible" })
    const events: PageLifecycleEvent[] = []
    const stop = onPageLifecycle((event) => events.push(event))
    return { ...page, events, stop }
  }

  it("reports a page that is hidden and shown again", () => {
    const { document, events } = watch()
    document.visibilityState = "hidden"
    document.dispatchEvent(new Event("visibilitychange"))
    document.visibilityState = "visible"
    document.dispatchEvent(new Event("visibilitychange"))
    expect(events).toEqual(["hidden", "visible"])
  })

  it("reports a page that is left, also if it is kept in the back/forward cache", () => {
    const { window, events } = watch()
    window.dispatchEvent(pageTransition("pagehide", false))
    window.dispatchEvent(pageTransition("pagehide", true))
    expect(events).toEqual(["departing", "departing"])
  })

  it("reports a page restored from the back/forward cache, so that nothing waits on a dead connection", () => {
    const { window, events } = watch()
    window.dispatchEvent(pageTransition("pageshow", true))
    expect(events).toEqual(["restored"])
  })

  it("does not take a page that has just been loaded for a restored one", () => {
    const { window, events } = watch()
    window.dispatchEvent(pageTransition("pageshow", false))
    expect(events).toEqual([])
  })

  it("reports a page that is frozen and resumed", () => {
    const { document, events } = watch()
    document.dispatchEvent(new Event("freeze"))
    document.dispatchEvent(new Event("resume"))
    expect(events).toEqual(["departing", "restored"])
  })

  it("reports a page that is resumed and shown at the same time once", () => {
    const { document, window, events } = watch()
    document.dispatchEvent(new Event("resume"))
    window.dispatchEvent(pageTransition("pageshow", true))
    expect(events).toEqual(["restored"])
    vi.advanceTimersByTime(1_000)
    document.dispatchEvent(new Event("resume"))
    expect(events).toEqual(["restored", "restored"])
  })

  it("reports nothing after its end", () => {
    const { document, window, events, stop } = watch()
    stop()
    for (const type of ["visibilitychange", "freeze", "resume"]) {
      document.dispatchEvent(new Event(type))
    }
    window.dispatchEvent(pageTransition("pagehide", true))
    window.dispatchEvent(pageTransition("pageshow", true))
    expect(events).toEqual([])
  })

  it.each([
    ["no document", undefined],
    ["a document without events", {}],
  ])("does nothing with %s", (_case, document) => {
    vi.stubGlobal("document", document)
    const stop = onPageLifecycle(() => expect.unreachable())
    stop()
    expect(documentVisibility()).toBeUndefined()
    expect(isPageHidden()).toBe(false)
  })

  it("works in a document beside globals that take no listeners", () => {
    const { document } = installPage({ visibilityState: "hidden" })
    vi.stubGlobal("addEventListener", undefined)
    vi.stubGlobal("removeEventListener", undefined)
    const events: PageLifecycleEvent[] = []
    const stop = onPageLifecycle((event) => events.push(event))
    document.dispatchEvent(new Event("visibilitychange"))
    stop()
    expect(events).toEqual(["hidden"])
  })
})

describe("documentVisibility", () => {
  it("follows the document until its subscription ends", () => {
    const { document } = installPage({ hidden: false, visibilityState: "visible" })
    const visibility = documentVisibility()
    expect(visibility?.hidden).toBe(false)
    const onChange = vi.fn()
    const stop = visibility?.subscribe(onChange)
    document.visibilityState = "hidden"
    document.dispatchEvent(new Event("visibilitychange"))
    expect(onChange).toHaveBeenCalledOnce()
    expect(visibility?.hidden).toBe(true)
    document.dispatchEvent(new Event("freeze"))
    stop?.()
    document.dispatchEvent(new Event("visibilitychange"))
    expect(onChange).toHaveBeenCalledOnce()
  })

  it.each([
    ["a page that replaces document.hidden and has no visibilityState", { hidden: true }, true],
    [
      "a page that replaces document.hidden alone",
      { hidden: true, visibilityState: "visible" },
      true,
    ],
    ["a page that has visibilityState alone", { visibilityState: "hidden" }, true],
    ["a page that has neither", {}, false],
    ["jsdom's page, which was never shown", { hidden: true, visibilityState: "prerender" }, false],
  ])("reads %s", (_case, properties, hidden) => {
    installPage(properties)
    expect(documentVisibility()?.hidden).toBe(hidden)
  })
})

describe("takeKeepalive", () => {
  it("is for a hidden page, within the browser's budget of 64 KiB", () => {
    const { document } = installPage({ visibilityState: "visible" })
    expect(takeKeepalive(1)).toBeUndefined()
    document.visibilityState = "hidden"
    const giveBack = takeKeepalive(64 * 1024)
    expect(giveBack).toBeTypeOf("function")
    expect(takeKeepalive(1)).toBeUndefined()
    giveBack?.()
    takeKeepalive(1)?.()
    expect(takeKeepalive(64 * 1024 + 1)).toBeUndefined()
  })

  it("is for a page that is left before it is called hidden, and not for one that came back", () => {
    const { window } = installPage({ visibilityState: "visible" })
    const stop = onPageLifecycle(() => undefined)
    window.dispatchEvent(pageTransition("pagehide", true))
    const giveBack = takeKeepalive(1)
    expect(giveBack).toBeTypeOf("function")
    giveBack?.()
    vi.runOnlyPendingTimers()
    expect(takeKeepalive(1)).toBeUndefined()
    stop()
  })

  it("is not for a platform without a page", () => {
    expect(takeKeepalive(1)).toBeUndefined()
  })
})
