import type { Endpoint } from "../http/endpoint.ts"
import { onPageDeparture } from "../platform/page-departure.ts"
import { resendsRequests } from "../platform/resent-requests.ts"
import type { Offset } from "../protocol/offset.ts"
import { asError } from "./as-error.ts"
import { askForHead, askForTail } from "./stream-head.ts"

/** What a discovery is made with. */
export interface DiscoverySettings {
  readonly endpoint: Endpoint
  /** The stream's content type, where somebody knows it. */
  readonly contentType: () => string | undefined
  readonly deliveryTimeoutMs: number
  /** Ends it. */
  readonly stopSignal: AbortSignal
}

/** Finds out what has to be known about a stream before the first batch goes out. */
export class StreamDiscovery {
  readonly #settings: DiscoverySettings
  readonly #onKnown: (contentType: string) => void
  readonly #onFailed: (error: Error) => void
  #progress: Promise<void> | undefined
  #isKnown = false
  #tailBefore: Offset = ""

  /**
   * @param onKnown - told the content type, once: batches can be sent
   * @param onFailed - told that it cannot be found out
   */
  constructor(
    settings: DiscoverySettings,
    onKnown: (contentType: string) => void,
    onFailed: (error: Error) => void,
  ) {
    this.#settings = settings
    this.#onKnown = onKnown
    this.#onFailed = onFailed
  }

  /** Where the stream ended before anything was sent; an empty string where nobody looked. */
  get tailBefore(): Offset {
    return this.#tailBefore
  }

  /** Begins, unless it has begun. Resolves once it is over, well or not; where nothing has to be asked, it is over at once. */
  run(): Promise<void> {
    this.#progress ??= this.#discover()
    return this.#progress
  }

  #discover(): Promise<void> {
    const { contentType, endpoint, deliveryTimeoutMs, stopSignal } = this.#settings
    const known = contentType()
    if (known === undefined) {
      return askForHead(endpoint, deliveryTimeoutMs, stopSignal).then(
        (head) => {
          this.#known(head.contentType, head.tail)
        },
        (error: unknown) => {
          this.#onFailed(asError(error))
        },
      )
    }
    // Where a batch can arrive twice on its own, the tail before it tells it from another producer's.
    if (resendsRequests(endpoint.fetch)) return this.#lookFirst(known)
    this.#known(known, "")
    return Promise.resolve()
  }

  async #lookFirst(contentType: string): Promise<void> {
    const { endpoint, stopSignal } = this.#settings
    // A page that is left has no time for it.
    const unwatch = onPageDeparture(() => {
      this.#known(contentType, "")
    })
    const tail = await askForTail(endpoint, stopSignal)
    unwatch()
    this.#known(contentType, tail)
  }

  #known(contentType: string, tail: Offset): void {
    if (this.#isKnown) return
    this.#isKnown = true
    this.#tailBefore = tail
    this.#onKnown(contentType)
  }
}
