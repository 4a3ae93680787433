/** What `setTimeout` returns in virtual time: number-like as in browsers, with the methods of Node's. */
export class VirtualTimer {
  readonly id: number
  readonly callback: () => void
  /** Set for an interval: it fires again this much later until it is cleared. */
  readonly everyMs: number | undefined
  /** Where the timer was set, if the run was asked to remember. */
  readonly origin: string | undefined
  /** True for timers of the test's own world (network, server, script): they are no leak of the client. */
  readonly environment: boolean
  dueMs: number

  constructor(fields: {
    id: number
    callback: () => void
    dueMs: number
    everyMs?: number
    origin?: string | undefined
    environment: boolean
  }) {
    this.id = fields.id
    this.callback = fields.callback
    this.dueMs = fields.dueMs
    this.everyMs = fields.everyMs
    this.origin = fields.origin
    this.environment = fields.environment
  }

  ref(): this {
    return this
  }

  unref(): this {
    return this
  }

  hasRef(): boolean {
    return true
  }

  [Symbol.toPrimitive](): number {
    return this.id
  }
}

/** Timers in the order in which they are due; those due together fire in the order they were set. */
export class TimerQueue {
  readonly #byId = new Map<number, VirtualTimer>()
  #nextId = 1

  get size(): number {
    return this.#byId.size
  }

  takeId(): number {
    return this.#nextId++
  }

  add(timer: VirtualTimer): void {
    this.#byId.set(timer.id, timer)
  }

  delete(id: number): boolean {
    return this.#byId.delete(id)
  }

  /** The timer that is due first; it stays in the queue. */
  peek(dueMsOf: (timer: VirtualTimer) => number = dueMs): VirtualTimer | undefined {
    let first: VirtualTimer | undefined
    let firstMs = Infinity
    for (const timer of this.#byId.values()) {
      const ms = dueMsOf(timer)
      if (first && (ms > firstMs || (ms === firstMs && timer.id > first.id))) continue
      first = timer
      firstMs = ms
    }
    return first
  }

  all(): VirtualTimer[] {
    return [...this.#byId.values()]
  }
}

function dueMs(timer: VirtualTimer): number {
  return timer.dueMs
}
