import { DurableStreamError } from "../errors/durable-stream-error.ts"
import { backoffDelayMs, type Backoff } from "../http/backoff.ts"
import { monotonicMs } from "../platform/clock.ts"
import { epochAbove, freshEpoch } from "../protocol/fresh-epoch.ts"

/** What identifies a batch to the server, together with the producer's id. */
export interface BatchNumber {
  readonly epoch: number
  readonly seq: number
}

/** Two producers that share an id fence each other again and again. After so many bumps without an hour of peace, one gives up. */
const MAX_BUMPS = 10
const BUMPS_PERIOD_MS = 3_600_000
/** After so many rejected messages in a row, it is not the messages. */
const MAX_REJECTED_MESSAGES = 10
/** Finding one bad message among thousands takes a dozen rejections; the first few need not wait. */
const FREE_REJECTIONS = 4
const MAX_REJECTION_DELAY_MS = 1000

/**
 * Assigns epochs and sequence numbers, and bounds how often a server's responses can make a producer begin an epoch.
 *
 * A fresh epoch is one that no other producer can have used: from the clock and random bits at first (from 0 and random bits if
 * the clock was never set), then a random step above every epoch that was seen.
 */
export class Epochs {
  /** Whether the producer chooses its epochs itself, so that no other can have used them. */
  readonly #choosesFresh: boolean
  readonly #backoff: Backoff
  readonly #stream: string
  #epoch: number
  #nextSeq = 0
  #hasBegun: boolean
  #highestAcknowledgedSeq = -1
  #bumpCount = 0
  #lastBumpMs = 0
  #rejectionCount = 0
  #rejectedMessageCount = 0

  /**
   * @param first - the epoch to start with; undefined: fresh ones
   * @param stream - the stream as error messages show it
   */
  constructor(first: number | undefined, backoff: Backoff, stream: string) {
    this.#choosesFresh = first === undefined
    this.#hasBegun = !this.#choosesFresh
    this.#epoch = first ?? 0
    this.#backoff = backoff
    this.#stream = stream
  }

  get epoch(): number {
    return this.#epoch
  }

  get nextSeq(): number {
    return this.#nextSeq
  }

  take(): BatchNumber {
    this.#beginFirst()
    return { epoch: this.#epoch, seq: this.#nextSeq++ }
  }

  noteAcknowledged({ epoch, seq }: BatchNumber): void {
    if (epoch === this.#epoch && seq > this.#highestAcknowledgedSeq) {
      this.#highestAcknowledgedSeq = seq
    }
    this.#rejectionCount = 0
    this.#rejectedMessageCount = 0
  }

  /** Whether a later batch was acknowledged: the server stores in order. */
  isImplicitlyAcknowledged({ epoch, seq }: BatchNumber): boolean {
    return epoch === this.#epoch && seq < this.#highestAcknowledgedSeq
  }

  /** Begins an epoch above another one, by default the current. @throws DurableStreamError `BAD_REQUEST` if there is none */
  beginAbove(given?: number): void {
    if (given === undefined) this.#beginFirst()
    const above = given ?? this.#epoch
    const epoch = this.#choosesFresh ? epochAbove(above) : above + 1
    if (!Number.isSafeInteger(epoch)) {
      throw new DurableStreamError(
        `${this.#stream}: there is no epoch after ${Number.MAX_SAFE_INTEGER}. Use another producer id.`,
        "BAD_REQUEST",
      )
    }
    this.#epoch = epoch
    this.#nextSeq = 0
    this.#hasBegun = true
    this.#highestAcknowledgedSeq = -1
  }

  /** Counts a bump. @returns how long to wait before it, in milliseconds; undefined if there were too many */
  noteBump(): number | undefined {
    const nowMs = monotonicMs()
    if (nowMs - this.#lastBumpMs > BUMPS_PERIOD_MS) this.#bumpCount = 0
    this.#lastBumpMs = nowMs
    return this.#bumpCount++ < MAX_BUMPS ? this.#delayMs(this.#bumpCount - 1) : undefined
  }

  /** Counts a rejection. @returns how long to wait before the next request, in milliseconds */
  noteRejection(): number {
    const delayMs = this.#delayMs(++this.#rejectionCount - FREE_REJECTIONS)
    return Math.min(delayMs, MAX_REJECTION_DELAY_MS)
  }

  /** Counts a rejected message. @returns whether it can still be the message's own fault */
  noteRejectedMessage(): boolean {
    return ++this.#rejectedMessageCount <= MAX_REJECTED_MESSAGES
  }

  #beginFirst(): void {
    if (!this.#hasBegun) this.#epoch = freshEpoch(Date.now()) ?? epochAbove(0)
    this.#hasBegun = true
  }

  #delayMs(count: number): number {
    return count > 0 ? backoffDelayMs(this.#backoff, count, Math.random()) : 0
  }
}
