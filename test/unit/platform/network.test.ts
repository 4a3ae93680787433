import { afterEach, describe, expect, it, vi } from "vitest"
import { onOnline } from "../../../src/platform/network.ts"

function installBrowser(navigator: object = {}): EventTarget {
  const target = new EventTarget()
  vi.stubGlobal("navigator", navigator)
  vi.stubGlobal("addEventListener", target.addEventListener.bind(target))
  vi.stubGlobal("removeEventListener", target.removeEventListener.bind(target))
  return target
}

afterEach(() => {
  vi.unstubAllGlobals()
})

describe("onOnline", () => {
  it("calls back when the network comes back, until its end", () => {
    const target = installBrowser()
    const callback = vi.fn()
    const stop = onOnline(callback)
    target.dispatchEvent(new Event("online"))
    expect(callback).toHaveBeenCalledOnce()
    stop()
    target.dispatchEvent(new Event("online"))
    expect(callback).toHaveBeenCalledOnce()
  })

  it("reports that the network is gone to a second callback, until its end", () => {
    const target = installBrowser()
    const onOffline = vi.fn()
    const stop = onOnline(() => expect.unreachable(), onOffline)
    target.dispatchEvent(new Event("offline"))
    expect(onOffline).toHaveBeenCalledOnce()
    stop()
    target.dispatchEvent(new Event("offline"))
    expect(onOffline).toHaveBeenCalledOnce()
  })

  it("calls back when a phone changes from Wi-Fi to mobile data", () => {
    const connection = Object.assign(new EventTarget(), { type: "wifi" })
    installBrowser({ connection })
    const callback = vi.fn()
    const stop = onOnline(callback)
    const change = (type: string) => {
      connection.type = type
      connection.dispatchEvent(new Event("change"))
    }
    change("cellular")
    expect(callback).toHaveBeenCalledOnce()
    stop()
    change("wifi")
    expect(callback).toHaveBeenCalledOnce()
  })

  it("ignores new estimates of the same connection, its loss, and the end of the loss, which `online` reports", () => {
    const connection = Object.assign(new EventTarget(), { type: "wifi" })
    installBrowser({ connection })
    const callback = vi.fn()
    const stop = onOnline(callback)
    for (const type of ["wifi", "none", "cellular"]) {
      connection.type = type
      connection.dispatchEvent(new Event("change"))
    }
    stop()
    expect(callback).not.toHaveBeenCalled()
  })

  it("does nothing on a platform that reports nothing", () => {
    vi.stubGlobal("addEventListener", undefined)
    vi.stubGlobal("navigator", undefined)
    onOnline(() => expect.unreachable())()
    installBrowser({ connection: { type: "wifi" } })
    onOnline(() => expect.unreachable())()
  })
})
