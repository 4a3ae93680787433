import type { ReadRequest } from "./session-state.ts"
import type { PendingRequest } from "./transport.ts"

/**
 * Requests pages before the consumer asks for them: catch-up pages as soon as the headers of one name the next offset, and
 * the next long-poll while a callback runs. A distant server then costs one round trip less per page. Never more than `limit`
 * requests at a time.
 */
export class ReadAhead {
  readonly #limit: number
  readonly #open: (request: ReadRequest) => PendingRequest
  #pending: readonly PendingRequest[] = []

  constructor(limit: number, open: (request: ReadRequest) => PendingRequest) {
    this.#limit = limit
    this.#open = open
  }

  /** Makes a request, and those for the catch-up pages behind it as far as the limit allows. */
  begin(request: ReadRequest): void {
    if (this.#pending.length >= this.#limit || this.#find(request) !== undefined) return
    const pending = this.#open(request)
    this.#pending = [...this.#pending, pending]
    if (request.transport !== "catch-up") return
    void pending.opened.then((opened) => {
      if (!this.#pending.includes(pending) || opened.kind !== "page") return
      const { offset, upToDate } = opened.end
      if (!upToDate && offset !== request.offset) this.begin({ ...request, offset })
    })
  }

  /** Hands over a request. If there is none, the reader went elsewhere: all are dropped. */
  take(request: ReadRequest): PendingRequest | undefined {
    const found = this.#find(request)
    if (found === undefined) this.drop()
    else this.#pending = this.#pending.filter((other) => other !== found)
    return found
  }

  drop(): void {
    const pending = this.#pending
    this.#pending = []
    for (const { controller } of pending) controller.abort()
  }

  #find({ transport, offset }: ReadRequest): PendingRequest | undefined {
    return this.#pending.find(
      ({ request }) => request.transport === transport && request.offset === offset,
    )
  }
}
