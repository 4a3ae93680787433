import { AbortScope } from "../http/abort.ts"
import type { Offset } from "../protocol/offset.ts"
import type { Opened } from "./transport.ts"

/** A request that was made before it was asked for. */
export interface EarlyRequest {
  readonly scope: AbortScope
  readonly opened: Promise<Opened>
}

/**
 * Requests catch-up pages before the consumer asks for them: the next one as soon as the headers of this one name its
 * offset, so that a far server costs one round trip less for every page. Never more than `limit` at a time.
 */
export class ReadAhead {
  readonly #limit: number
  readonly #open: (offset: Offset, scope: AbortScope) => Promise<Opened>
  readonly #requests = new Map<Offset, EarlyRequest>()

  /**
   * @param limit - how many requests may be ahead
   * @param open - makes a catch-up request; never rejects
   */
  constructor(limit: number, open: (offset: Offset, scope: AbortScope) => Promise<Opened>) {
    this.#limit = limit
    this.#open = open
  }

  /** Requests the page at an offset, and those behind it as far as the limit goes. */
  begin(offset: Offset): void {
    if (this.#requests.size >= this.#limit || this.#requests.has(offset)) return
    const scope = new AbortScope()
    const opened = this.#open(offset, scope)
    this.#requests.set(offset, { scope, opened })
    void opened.then((result) => {
      if (this.#requests.get(offset)?.scope !== scope || result.kind !== "page") return
      const { page } = result
      if (!page.upToDate && page.offset !== offset) this.begin(page.offset)
    })
  }

  /** Hands over the request at an offset. One at another offset means that the reader went elsewhere: all are dropped. */
  take(offset: Offset): EarlyRequest | undefined {
    const request = this.#requests.get(offset)
    if (request === undefined) this.drop()
    this.#requests.delete(offset)
    return request
  }

  /** Ends all requests and releases their answers. */
  drop(): void {
    const requests = [...this.#requests.values()]
    this.#requests.clear()
    for (const { scope } of requests) scope.abort()
  }
}
