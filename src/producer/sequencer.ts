import { DurableStreamError } from "../errors/durable-stream-error.ts"
import { backoffDelayMs, type Backoff } from "../http/backoff.ts"
import type { BatchNumber } from "./batch.ts"
import type { Delivery } from "./delivery.ts"

/** Two producers that share an id fence each other again and again: so often without an hour of peace, then one gives up. */
const MAX_CLAIMS = 10
const CLAIMS_PERIOD_MS = 3_600_000
/** So many messages in a row are left out as refused; then it is not the messages. */
const MAX_LEFT_OUT = 10
/** Finding one bad message among thousands takes a dozen refusals; the first few need not wait. */
const FREE_REFUSALS = 4
const MAX_REFUSAL_DELAY_MS = 1000

/**
 * Gives out the numbers of batches, and keeps watch that no answer of a server makes it start epochs in a hot loop.
 */
export class Sequencer {
  readonly #backoff: Backoff
  readonly #stream: string
  #epoch: number
  #nextSeq = 0
  #highestAcknowledgedSeq = -1
  /** Whether the first batch of the epoch is acknowledged: then the epoch is this producer's. */
  #isOpen = false
  #claims = 0
  #lastClaimMs = 0
  #refusals = 0
  #leftOut = 0

  /** @param stream - the stream as messages may show it */
  constructor(epoch: number, backoff: Backoff, stream: string) {
    this.#epoch = epoch
    this.#backoff = backoff
    this.#stream = stream
  }

  get epoch(): number {
    return this.#epoch
  }

  get nextSeq(): number {
    return this.#nextSeq
  }

  /**
   * Whether a batch is called a duplicate at its only try before it is known that the epoch is this producer's. It may be
   * another's that is stored: the first batch of the epoch will show it, or the next try is its own duplicate.
   */
  isPremature({ tries, number }: Pick<Delivery, "tries" | "number">): boolean {
    return tries === 1 && number?.seq !== 0 && !this.#isOpen
  }

  take(): BatchNumber {
    return { epoch: this.#epoch, seq: this.#nextSeq++ }
  }

  acknowledged({ epoch, seq }: BatchNumber): void {
    if (epoch === this.#epoch) {
      this.#isOpen ||= seq === 0
      this.#highestAcknowledgedSeq = Math.max(this.#highestAcknowledgedSeq, seq)
    }
    this.#refusals = 0
    this.#leftOut = 0
  }

  /** Whether the server has accepted a later batch, which it does only once this one is stored. */
  isProven({ epoch, seq }: BatchNumber): boolean {
    return epoch === this.#epoch && seq < this.#highestAcknowledgedSeq
  }

  /**
   * Starts an epoch.
   *
   * @throws DurableStreamError `BAD_REQUEST` where there is none left
   */
  begin(epoch: number): void {
    if (!Number.isSafeInteger(epoch)) {
      throw new DurableStreamError(
        `${this.#stream}: there is no epoch after ${Number.MAX_SAFE_INTEGER}. Use another producer id.`,
        "BAD_REQUEST",
      )
    }
    this.#epoch = epoch
    this.#nextSeq = 0
    this.#isOpen = false
    this.#highestAcknowledgedSeq = -1
  }

  /**
   * Counts a claim.
   *
   * @returns how long to wait before it, in milliseconds, or undefined where there were too many
   */
  noteClaim(nowMs: number): number | undefined {
    if (nowMs - this.#lastClaimMs > CLAIMS_PERIOD_MS) this.#claims = 0
    this.#lastClaimMs = nowMs
    if (++this.#claims > MAX_CLAIMS) return undefined
    return this.#claims === 1 ? 0 : backoffDelayMs(this.#backoff, this.#claims - 1, Math.random())
  }

  /** Counts a refusal. @returns how long to wait before the next request, in milliseconds */
  noteRefusal(): number {
    this.#refusals++
    if (this.#refusals <= FREE_REFUSALS) return 0
    const delayMs = backoffDelayMs(this.#backoff, this.#refusals - FREE_REFUSALS, Math.random())
    return Math.min(delayMs, MAX_REFUSAL_DELAY_MS)
  }

  /** Counts a message left out. @returns whether it still can be the message's own fault */
  noteLeftOut(): boolean {
    return ++this.#leftOut <= MAX_LEFT_OUT
  }
}
