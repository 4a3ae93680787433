import { DurableStreamError } from "../errors/durable-stream-error.ts"
import { FetchError } from "../errors/fetch-error.ts"
import type { Endpoint } from "../http/endpoint.ts"
import { exchange } from "../http/request.ts"

/**
 * Deletes a stream. If an attempt is indeterminate and the next one does not find the stream, the first has deleted it.
 *
 * @throws as `exchange`: `NOT_FOUND` if there was none, `GONE` if it was deleted before
 */
export async function deleteStream(endpoint: Endpoint, signal?: AbortSignal): Promise<void> {
  const attempts = { mayHaveDeleted: false }
  const observer = {
    onRetry({ error }: { readonly error: unknown }) {
      attempts.mayHaveDeleted ||= error instanceof FetchError && error.indeterminate
    },
  }
  try {
    const request = {
      method: "DELETE",
      operation: "delete",
      retry: "idempotent",
      observer,
    } as const
    await exchange(endpoint, request, signal)
  } catch (error) {
    const isGone = error instanceof DurableStreamError && ["NOT_FOUND", "GONE"].includes(error.code)
    if (!isGone || !attempts.mayHaveDeleted) throw error
  }
}
