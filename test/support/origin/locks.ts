import type { OriginLocks } from "../../../src/platform/origin.ts"

interface Request {
  readonly name: string
  readonly clientId: string
  readonly callback: (lock: Lock | null) => unknown
  readonly resolve: (value: unknown) => void
  readonly reject: (error: unknown) => void
}

/** The Web Locks of one origin: exclusive locks with queues, `signal` and `steal`, as the specification says. */
export class SimulatedLocks {
  readonly #held = new Map<string, Request>()
  readonly #queues = new Map<string, Request[]>()
  /** How often a lock was granted. */
  grants = 0

  /** The locks as one client sees them. */
  client(clientId: string): OriginLocks {
    return {
      // The overloads of the platform's type cannot be written as one function.
      request: ((name: string, options: LockOptions, callback: LockGrantedCallback<unknown>) =>
        this.#request(name, clientId, options, callback)) as OriginLocks["request"],
      query: async () => {
        await Promise.resolve()
        const held = [...this.#held.values()].map((it) => ({
          name: it.name,
          clientId: it.clientId,
        }))
        return { held: held.map((it) => ({ ...it, mode: "exclusive" as const })), pending: [] }
      },
    }
  }

  /** Who holds a lock of any name. */
  get holders(): string[] {
    return [...this.#held.values()].map(({ clientId }) => clientId)
  }

  /** A client is gone: its locks are free, and its requests forgotten. */
  kill(clientId: string): void {
    for (const [name, queue] of this.#queues) {
      this.#queues.set(
        name,
        queue.filter((request) => request.clientId !== clientId),
      )
    }
    for (const [name, request] of this.#held) {
      if (request.clientId === clientId) this.#free(name, request)
    }
  }

  #request(
    name: string,
    clientId: string,
    { steal, signal }: LockOptions,
    callback: LockGrantedCallback<unknown>,
  ): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const request: Request = { name, clientId, callback, resolve, reject }
      const queue = this.#queues.get(name) ?? []
      this.#queues.set(name, queue)
      if (signal?.aborted) return reject(signal.reason as Error)
      signal?.addEventListener("abort", () => {
        const pending = this.#queues.get(name) ?? []
        if (!pending.includes(request)) return
        this.#queues.set(
          name,
          pending.filter((other) => other !== request),
        )
        reject(signal.reason as Error)
      })
      if (steal) {
        const before = this.#held.get(name)
        this.#held.delete(name)
        before?.reject(new DOMException("The lock was stolen.", "AbortError"))
        queue.unshift(request)
      } else queue.push(request)
      queueMicrotask(() => this.#grant(name))
    })
  }

  #grant(name: string): void {
    if (this.#held.has(name)) return
    const request = this.#queues.get(name)?.shift()
    if (request === undefined) return
    this.#held.set(name, request)
    this.grants++
    const done = Promise.resolve(request.callback({ name, mode: "exclusive" }))
    done.then(request.resolve, request.reject).finally(() => this.#free(name, request))
  }

  #free(name: string, request: Request): void {
    if (this.#held.get(name) !== request) return
    this.#held.delete(name)
    queueMicrotask(() => this.#grant(name))
  }
}
