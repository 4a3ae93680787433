import { LinkedAbortController } from "../http/abort.ts"
import type { Endpoint } from "../http/endpoint.ts"
import { exchange, type ResponseMetadata } from "../http/request.ts"
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

interface AttemptInput {
  readonly content: BatchContent
  readonly number: BatchNumber
  readonly producerId: string
  readonly contentType: string
}

export class Attempt {
  /** `unknown` once the server may have the request. */
  effect: "none" | "unknown" = "none"
  readonly #controller: LinkedAbortController

  constructor(stopSignal: AbortSignal) {
    this.#controller = new LinkedAbortController(stopSignal)
  }

  get isCancelled(): boolean {
    return this.#controller.signal.aborted
  }

  cancel(): void {
    this.#controller.abort()
  }

  async run(endpoint: Endpoint, input: AttemptInput): Promise<ResponseMetadata> {
    const { content, number, producerId, contentType } = input
    const { body, ends, closesStream } = content
    const hasBody = ends.length > 0
    const releaseKeepalive = takeKeepalive(body.byteLength)
    const onRequest = () => {
      this.effect = "unknown"
    }
    try {
      return await exchange(
        endpoint,
        {
          method: "POST",
          operation: closesStream ? "close" : "append",
          // The sender repeats it: when, depends on the other batches.
          retry: "never",
          headers: {
            [CONTENT_TYPE_HEADER]: hasBody ? contentType : undefined,
            [STREAM_CLOSED_HEADER]: closesStream ? "true" : undefined,
            [PRODUCER_ID_HEADER]: producerId,
            [PRODUCER_EPOCH_HEADER]: String(number.epoch),
            [PRODUCER_SEQ_HEADER]: String(number.seq),
          },
          ...(hasBody && { body }),
          keepalive: releaseKeepalive !== undefined,
          observer: { onRequest },
        },
        this.#controller.signal,
      )
    } finally {
      releaseKeepalive?.()
      this.#controller.end()
    }
  }
}
