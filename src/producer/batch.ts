import type { IdempotentAppendResult } from "./acknowledgements.ts"
import type { BatchContent } from "./batch-content.ts"
import { nextBatchState, type BatchEvent, type BatchState } from "./batch-state.ts"

/** What a sender notifies its owner of. */
export interface SenderEvents {
  /** A batch is stored. */
  onAcknowledged(batch: Batch, result: IdempotentAppendResult): void
  /** The server rejected a batch of one message; the others go through. */
  onRejectedMessage(batch: Batch, error: Error): void
  /** A batch was too large and is sent in halves. */
  onTooLarge(bodyBytes: number): void
  /** The content type may be a wrong guess. @returns the right one, if it is another; the guess is over in any case */
  onTypeRejected(): Promise<string | undefined>
  /** There may be room, and waits may be over. */
  onProgress(): void
  /** Nothing more will be sent. */
  onFailed(error: Error): void
}

/** A sealed batch on its way. Its state changes by {@link nextBatchState} alone. */
export class Batch {
  #content: BatchContent
  /** Its place among all batches. The halves of a batch keep its place. */
  readonly index: number
  #state: BatchState = { kind: "queued" }
  #sendOrder = 0
  #firstSentAtMs: number | undefined
  #failureCount = 0

  constructor(content: BatchContent, index: number) {
    this.#content = content
    this.index = index
  }

  get content(): BatchContent {
    return this.#content
  }

  get state(): BatchState {
    return this.#state
  }

  /** The place of its latest request among all requests of the producer; 0 if none was made under its number. */
  get sendOrder(): number {
    return this.#sendOrder
  }

  /** When the first attempt under its number began, by the monotonic clock. */
  get firstSentAtMs(): number | undefined {
    return this.#firstSentAtMs
  }

  /** How many attempts under its number failed and could be repeated. */
  get failureCount(): number {
    return this.#failureCount
  }

  /** Whether it has a number that is not settled and was used for no request, or none at all. */
  get isUnsent(): boolean {
    return this.#sendOrder === 0
  }

  /** @throws TypeError if the event is illegal in the batch's state */
  apply(event: BatchEvent): void {
    this.#state = nextBatchState(this.#state, event)
    if (event.kind === "fail") this.#failureCount++
    if (event.kind !== "renumber") return
    this.#sendOrder = 0
    this.#firstSentAtMs = undefined
    this.#failureCount = 0
  }

  /** Puts the same messages in another form. Needs another number. */
  recode(content: BatchContent): void {
    this.#content = content
  }

  /** Notes that an attempt begins. */
  noteSend(sendOrder: number, nowMs: number): void {
    this.#sendOrder = sendOrder
    this.#firstSentAtMs ??= nowMs
  }
}
