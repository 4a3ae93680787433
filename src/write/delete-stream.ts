import { DurableStreamError } from "../errors/durable-stream-error.ts"
import { FetchError } from "../errors/fetch-error.ts"
import type { Endpoint } from "../http/endpoint.ts"
import { exchange } from "../http/request.ts"

/**
 * Deletes a stream. Where the answer of an attempt was lost and the next one finds the stream gone, the first one has
 * done it.
 *
 * @throws as `exchange` does: `NOT_FOUND` where there was none, `GONE` where it was deleted before
 */
export async function deleteStream(endpoint: Endpoint, signal?: AbortSignal): Promise<void> {
  const doubts: unknown[] = []
  try {
    await exchange(
      endpoint,
      {
        method: "DELETE",
        operation: "delete",
        retry: "idempotent",
        observer: {
          onRetry({ error }) {
            if (error instanceof FetchError && error.indeterminate) doubts.push(error)
          },
        },
      },
      signal,
    )
  } catch (error) {
    const isGone = error instanceof DurableStreamError && ["NOT_FOUND", "GONE"].includes(error.code)
    if (!isGone || doubts.length === 0) throw error
  }
}
