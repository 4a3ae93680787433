import { LinkedAbortController } from "../http/abort.ts"
import type { Offset } from "../protocol/offset.ts"
import type { Opened } from "./transport.ts"

/** A request that is under way. */
export interface PendingRequest {
  readonly offset: Offset
  readonly scope: LinkedAbortController
  readonly opened: Promise<Opened>
}

const none: readonly PendingRequest[] = []

/**
 * Requests catch-up pages before the consumer asks for them: the next one as soon as the headers of this one name its
 * offset, so that a far server costs one round trip less for every page. Never more than `limit` at a time.
 */
export class ReadAhead {
  readonly #limit: number
  readonly #open: (offset: Offset, scope: LinkedAbortController) => Promise<Opened>
  #requests = none

  /**
   * @param limit - how many requests may be ahead
   * @param open - makes a catch-up request; never rejects
   */
  constructor(
    limit: number,
    open: (offset: Offset, scope: LinkedAbortController) => Promise<Opened>,
  ) {
    this.#limit = limit
    this.#open = open
  }

  /** Requests the page at an offset, and those behind it as far as the limit goes. */
  begin(offset: Offset): void {
    if (this.#requests.length >= this.#limit || this.#find(offset) !== undefined) return
    const scope = new LinkedAbortController()
    const request = { offset, scope, opened: this.#open(offset, scope) }
    this.#requests = [...this.#requests, request]
    void request.opened.then((result) => {
      if (!this.#requests.includes(request) || result.kind !== "page") return
      const { page } = result
      if (!page.upToDate && page.offset !== offset) this.begin(page.offset)
    })
  }

  /** Hands over the request at an offset. One at another offset means that the reader went elsewhere: all are dropped. */
  take(offset: Offset): PendingRequest | undefined {
    const request = this.#find(offset)
    if (request === undefined) this.drop()
    else this.#requests = this.#requests.filter((other) => other !== request)
    return request
  }

  /** Ends all requests and releases their answers. */
  drop(): void {
    const requests = this.#requests
    this.#requests = none
    for (const { scope } of requests) scope.abort()
  }

  #find(offset: Offset): PendingRequest | undefined {
    return this.#requests.find((request) => request.offset === offset)
  }
}
