import { LinkedAbortController } from "../http/abort.ts"
import type { Endpoint } from "../http/endpoint.ts"
import { exchange, type StreamRequest } from "../http/request.ts"
import { takeKeepalive } from "../platform/page-lifecycle.ts"
import {
  CONTENT_TYPE_HEADER,
  PRODUCER_EPOCH_HEADER,
  PRODUCER_ID_HEADER,
  PRODUCER_SEQ_HEADER,
  STREAM_CLOSED_HEADER,
} from "../protocol/names.ts"
import type { BatchContent } from "./batch-content.ts"
import type { BatchNumber } from "./epochs.ts"
import { outcomeOfError, outcomeOfResponse, type SendOutcome, type SentBatch } from "./outcome.ts"

/** What every attempt of a producer is made with. */
export interface AttemptSettings {
  readonly endpoint: Endpoint
  readonly producerId: string
  /** Whether no other producer can have used the id. */
  readonly isNewId: boolean
  readonly contentType: () => string
  /** Ends everything. */
  readonly stopSignal: AbortSignal
}

/** What a sender is made with. */
export interface SenderSettings extends AttemptSettings {
  /** The epoch to start with. Undefined: fresh ones. */
  readonly epoch: number | undefined
  readonly autoClaim: boolean
  readonly maxInFlight: number
  readonly deliveryTimeoutMs: number
  /** Whether the content type is a guess that no response has confirmed. */
  readonly isTypeGuessed: () => boolean
}

/** What one attempt sends. */
export interface AttemptInput {
  readonly content: BatchContent
  readonly number: BatchNumber
  /** Asked when the response is there. */
  readonly context: () => Pick<SentBatch, "highestSentSeq" | "mayBeForeign">
}

/** One request for a batch. */
export class Attempt {
  readonly #settings: AttemptSettings
  readonly #controller: LinkedAbortController
  #isRequestPending = false

  constructor(settings: AttemptSettings) {
    this.#settings = settings
    this.#controller = new LinkedAbortController(settings.stopSignal)
  }

  /** Whether the request may have reached the server, and its response is not there. */
  get isRequestPending(): boolean {
    return this.#isRequestPending
  }

  /** Ends it. The outcome is `cancelled`. */
  cancel(): void {
    this.#controller.abort()
  }

  /** Makes the request. Never rejects. */
  async run(input: AttemptInput): Promise<SendOutcome> {
    const { content, number } = input
    const { endpoint, isNewId } = this.#settings
    const sent = { closesStream: content.closesStream, isEmpty: content.count === 0 }
    const releaseKeepalive = takeKeepalive(content.body.byteLength)
    try {
      const request = this.#request(input, releaseKeepalive !== undefined)
      const response = await exchange(endpoint, request, this.#controller.signal)
      const { url } = endpoint
      return outcomeOfResponse(response, { url, number, isNewId, ...sent, ...input.context() })
    } catch (error) {
      const effect = this.#isRequestPending ? "unknown" : "none"
      if (this.#controller.signal.aborted) return { kind: "cancelled", effect }
      return outcomeOfError(error, sent)
    } finally {
      releaseKeepalive?.()
      this.#isRequestPending = false
      this.#controller.end()
    }
  }

  #request({ content, number }: AttemptInput, keepalive: boolean): StreamRequest {
    const { producerId, contentType } = this.#settings
    return {
      method: "POST",
      operation: content.closesStream ? "close" : "append",
      // The sender repeats it: when, depends on the other batches.
      retry: "never",
      headers: {
        ...(content.count > 0 && { [CONTENT_TYPE_HEADER]: contentType() }),
        ...(content.closesStream && { [STREAM_CLOSED_HEADER]: "true" }),
        [PRODUCER_ID_HEADER]: producerId,
        [PRODUCER_EPOCH_HEADER]: String(number.epoch),
        [PRODUCER_SEQ_HEADER]: String(number.seq),
      },
      ...(content.count > 0 && { body: content.body }),
      keepalive,
      observer: {
        onRequest: () => {
          this.#isRequestPending = true
        },
      },
    }
  }
}
