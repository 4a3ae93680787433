import { FetchError } from "../errors/fetch-error.ts"
import type { Batch, BatchNumber } from "./batch.ts"
import type { Verdict } from "./verdict.ts"

/** So often a batch that may be stored is refused before the refusal is believed. */
const MAX_DOUBTFUL_REFUSALS = 3

/** One sealed batch on its way, until its fate is known. A link of the {@link Backlog}. */
export class Delivery {
  readonly batch: Batch
  /** Its place among all batches. The halves of a batch keep its place. */
  readonly ordinal: number
  /** Under one number the batch is sent any number of times, and nothing else ever is. */
  number: BatchNumber | undefined
  /** When its first attempt under its number began. */
  begunAtMs: number | undefined
  /** How often it was sent under its number. */
  tries = 0
  /** Whether an attempt under its number may have been stored although no answer says so. */
  inDoubt = false
  /** Whether it was answered with a gap because it overtook another. */
  wasEarly = false
  /** How often it was refused while it was in doubt. */
  doubtfulRefusals = 0
  /** Whether a request is out and its answer is not in. */
  isAsking = false
  /** What kept it from being acknowledged, once nothing more is tried under its number. */
  verdict: Verdict | undefined
  /** Whether it was let go and has not failed since. */
  isGoing = false
  /** Calls off what it waits for, where no request is out. */
  callOff: (() => void) | undefined
  /** Lets it go, where it waits for its turn. */
  wake: (() => void) | undefined
  previous: Delivery | undefined
  next: Delivery | undefined

  constructor(batch: Batch, ordinal: number) {
    this.batch = batch
    this.ordinal = ordinal
  }

  /** Takes in what a failed attempt says about whether it was stored. */
  noteFailure(error: unknown): void {
    this.isAsking = false
    this.isGoing = false
    if (error instanceof FetchError && error.indeterminate) this.inDoubt = true
  }

  /**
   * Takes in that the batch was refused. One that an earlier attempt may have stored was refused by somebody who does not
   * know that, a gateway: the server would know it again. Who refuses it again and again is taken at his word.
   *
   * @returns whether to send it again as it is
   */
  noteRefusal(): boolean {
    if (!this.inDoubt || this.doubtfulRefusals === MAX_DOUBTFUL_REFUSALS) return false
    this.doubtfulRefusals++
    return true
  }

  /** Forgets everything about its number. Only for a batch that is known not to be stored under it. */
  unnumber(): void {
    this.number = undefined
    this.begunAtMs = undefined
    this.tries = 0
    this.inDoubt = false
    this.doubtfulRefusals = 0
    this.wasEarly = false
    this.isGoing = false
    this.verdict = undefined
  }
}
