import { Deadline } from "../http/deadline.ts"
import type { Endpoint } from "../http/endpoint.ts"
import { transferError } from "../http/failure.ts"
import { askContentType, headExistingStream } from "../http/stream-head.ts"
import { monotonicMs } from "../platform/clock.ts"
import { mediaType } from "../protocol/content-type.ts"
import type { Offset } from "../protocol/offset.ts"
import { SUSPENDED_MS } from "./deadline.ts"

/** Finds out a stream's content type. If the server does not say, the producer guesses, and asks again if that is rejected. */
export class ContentTypeLookup {
  readonly #known: () => string | undefined
  readonly #ask: () => Promise<string | undefined>
  #isGuessed = false

  /**
   * @param known - the content type, if the handle has it by now
   * @param timeoutMs - how long failures are retried that a POST would meet as well
   */
  constructor(
    endpoint: Endpoint,
    known: () => string | undefined,
    timeoutMs: number,
    signal: AbortSignal,
  ) {
    this.#known = known
    this.#ask = () => requestContentType(endpoint, timeoutMs, signal)
  }

  get known(): string | undefined {
    return this.#known()
  }

  /** Whether the content type is a guess that no response has confirmed. */
  get isGuessed(): boolean {
    return this.#isGuessed
  }

  /** @returns undefined if the server does not say @throws what the server says of the stream; `TIMEOUT` */
  async find(): Promise<string | undefined> {
    const found = this.known ?? (await this.#ask())
    this.#isGuessed = found === undefined
    return found
  }

  /** Asks again. @returns the content type if it is another than what was guessed */
  async findAgain(guess: string): Promise<string | undefined> {
    // If the server does not tell, its rejection says more than the failed HEAD.
    const found = await this.#ask().catch(() => undefined)
    this.#isGuessed = false
    return found === undefined || mediaType(found) === mediaType(guess) ? undefined : found
  }

  /** A batch was stored: the guess was right. */
  confirm(): void {
    this.#isGuessed = false
  }
}

/** @returns where the stream ends; an empty string if the server does not say */
export function requestTail(endpoint: Endpoint, signal: AbortSignal): Promise<Offset> {
  return headExistingStream(endpoint, signal).then(
    ({ offset = "" }) => offset,
    () => "",
  )
}

async function requestContentType(
  endpoint: Endpoint,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<string | undefined> {
  let limitMs = timeoutMs
  for (let isExtended = false; ; isExtended = true) {
    const startedAtMs = monotonicMs()
    const limit = new Deadline(signal, limitMs, () =>
      transferError(endpoint.url, {
        kind: "timeout",
        reason: `no response to HEAD within ${timeoutMs} ms (deliveryTimeoutMs)`,
      }),
    )
    try {
      return await askContentType(endpoint, limit.signal)
    } catch (error) {
      // A machine that was suspended meanwhile asks again.
      const wasSuspended = monotonicMs() - startedAtMs >= limitMs + SUSPENDED_MS
      if (limit.timeout === undefined || isExtended || !wasSuspended) throw limit.timeout ?? error
    } finally {
      limit.end()
    }
    limitMs = Math.min(timeoutMs, endpoint.requestTimeoutMs)
  }
}
