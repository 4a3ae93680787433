import { AsyncLocalStorage } from "node:async_hooks"
import { createHash } from "node:crypto"
import type { Origin } from "../../../src/platform/origin.ts"
import type { PageLifecycleEvent, VisibilitySource } from "../../../src/platform/page-lifecycle.ts"
import type { NetworkClient } from "../../support/faulty-network/network.ts"
import type { SimulatedChannels } from "../../support/origin/channels.ts"
import type { SimulatedLocks } from "../../support/origin/locks.ts"

const current = new AsyncLocalStorage<Tab>()

/** What the tabs of one browser share. */
export interface Browser {
  readonly locks: SimulatedLocks
  readonly channels: SimulatedChannels
}

/**
 * One tab of a browser: its timers, messages, locks and responses wait while it is frozen, and nothing of it runs any more once it
 * is dead.
 */
export class Tab implements VisibilitySource {
  readonly id: string
  readonly #browser: Browser
  readonly #client: NetworkClient
  readonly #listeners = new Set<(event: PageLifecycleEvent) => void>()
  readonly #watchers = new Set<() => void>()
  #waiting: (() => void)[] = []
  hidden = false
  isFrozen = false
  isDead = false
  /** What it said as the holder while it did not hold the lock. */
  strayMessages = 0
  /** When this tab made requests. */
  readonly requestTimes: number[] = []

  constructor(id: string, browser: Browser, client: NetworkClient) {
    this.id = id
    this.#browser = browser
    this.#client = client
  }

  /** Runs what belongs to this tab: now, when it wakes, or never. */
  readonly run = (callback: () => void): void => {
    if (this.isDead) return
    if (this.isFrozen) this.#waiting.push(() => this.run(callback))
    else current.run(this, callback)
  }

  subscribe(onChange: () => void): () => void {
    this.#watchers.add(onChange)
    return () => void this.#watchers.delete(onChange)
  }

  get watcherCount(): number {
    return this.#watchers.size + this.#listeners.size
  }

  origin(refusesLocks: boolean): Origin {
    const { locks, channels } = this.#browser
    const own = locks.client(this.id)
    return {
      locks: {
        // As in SimulatedLocks.
        request: ((name: string, options: LockOptions, callback: LockGrantedCallback<unknown>) =>
          refusesLocks
            ? Promise.reject(new DOMException("no locks here", "SecurityError"))
            : this.#gated(
                own.request(name, options, (lock) =>
                  this.#awake().then(() => current.run(this, () => callback(lock))),
                ),
              )) as Origin["locks"]["request"],
        query: () => this.#gated(own.query()),
      },
      openChannel: (name) => {
        const channel = channels.open(name, this.run)
        const post = channel.postMessage.bind(channel)
        channel.postMessage = (data: { readonly kind: string }) => {
          if (data.kind !== "want" && !locks.holders.includes(this.id)) this.strayMessages++
          post(data)
        }
        return channel
      },
      digest: (text) => Promise.resolve(createHash("sha256").update(text).digest("hex")),
      onPageLifecycle: (notify) => {
        this.#listeners.add(notify)
        return () => void this.#listeners.delete(notify)
      },
    }
  }

  fetch(nowMs: () => number): typeof globalThis.fetch {
    return async (input, init) => {
      this.requestTimes.push(nowMs())
      const response = await this.#gated(this.#client.fetch(input, init))
      const { body } = response
      if (body === null) return response
      const getReader = body.getReader.bind(body)
      // The client asks for readers without options.
      body.getReader = (() => {
        const reader = getReader()
        const read = reader.read.bind(reader)
        reader.read = () => this.#gated(read())
        return reader
      }) as typeof body.getReader
      return response
    }
  }

  /** `tells`: the browser fires events first; one that is short of memory, or a debugger, does not. */
  freeze(tells: boolean): void {
    if (this.isFrozen) return
    if (tells) this.run(() => this.#notify("departing"))
    this.isFrozen = true
  }

  wake(tells: boolean): void {
    if (!this.isFrozen || this.isDead) return
    this.isFrozen = false
    const waiting = this.#waiting
    this.#waiting = []
    if (tells) this.run(() => this.#notify("restored"))
    for (const callback of waiting) callback()
  }

  show(isHidden: boolean): void {
    this.hidden = isHidden
    this.run(() => {
      for (const watcher of [...this.#watchers]) watcher()
    })
  }

  kill(): void {
    this.isDead = true
    this.#client.abandon()
    this.#browser.locks.kill(this.id)
  }

  #notify(event: PageLifecycleEvent): void {
    for (const listener of [...this.#listeners]) listener(event)
  }

  async #gated<T>(promise: Promise<T>): Promise<T> {
    try {
      return await promise
    } finally {
      await this.#awake()
    }
  }

  #awake(): Promise<void> {
    if (!this.isFrozen && !this.isDead) return Promise.resolve()
    return new Promise((resolve) => void this.#waiting.push(resolve))
  }
}

/**
 * From now on each timer belongs to the tab whose code set it.
 *
 * @returns a function that ends it
 */
export function tabTimers(): () => void {
  const { setTimeout: set, clearTimeout: clear } = globalThis
  // What is called has the platform's types.
  globalThis.setTimeout = ((
    callback: (...args: unknown[]) => void,
    delayMs?: number,
    ...args: unknown[]
  ) => {
    const tab = current.getStore()
    if (tab === undefined) return set(callback, delayMs, ...args)
    let isCleared = false
    const timer = set(() => tab.run(() => isCleared || callback(...args)), delayMs)
    return Object.assign(timer, { cancel: () => (isCleared = true) })
  }) as typeof globalThis.setTimeout
  globalThis.clearTimeout = (timer) => {
    // A timer of a tab has it.
    ;(timer as { cancel?: () => void } | undefined)?.cancel?.()
    clear(timer)
  }
  return () => {
    globalThis.setTimeout = set
    globalThis.clearTimeout = clear
  }
}
