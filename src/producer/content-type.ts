import { Deadline } from "../http/deadline.ts"
import type { Endpoint } from "../http/endpoint.ts"
import { transferError } from "../http/failure.ts"
import type { RetryNotice } from "../http/retry-loop.ts"
import { askContentType } from "../http/stream-head.ts"
import { monotonicMs } from "../platform/clock.ts"
import { SUSPENDED_MS } from "./sender.ts"

/**
 * Asks for a stream's content type. A machine that was suspended meanwhile asks again.
 *
 * @param timeoutMs - how long failures are retried that a POST would meet as well
 * @param isNeeded - whether a guess was rejected
 * @returns undefined if the server does not say
 * @throws what the server says of the stream; `TIMEOUT`
 */
export async function findContentType(
  endpoint: Endpoint,
  timeoutMs: number,
  signal: AbortSignal,
  isNeeded: boolean,
  onRetry: (notice: RetryNotice) => void,
): Promise<string | undefined> {
  let limitMs = timeoutMs
  for (let isExtended = false; ; isExtended = true) {
    const startedAtMs = monotonicMs()
    const reason = `no response to HEAD within ${timeoutMs} ms (deliveryTimeoutMs)`
    const limit = new Deadline(signal, limitMs, () =>
      transferError(endpoint.url, { kind: "timeout", reason }),
    )
    try {
      return await askContentType(endpoint, limit.signal, isNeeded, onRetry)
    } catch (error) {
      const wasSuspended = monotonicMs() - startedAtMs >= limitMs + SUSPENDED_MS
      if (limit.timeout === undefined || isExtended || !wasSuspended) throw limit.timeout ?? error
    } finally {
      limit.end()
    }
    limitMs = Math.min(timeoutMs, endpoint.requestTimeoutMs)
  }
}
