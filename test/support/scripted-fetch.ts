/** A request that a scripted fetch was called with. */
export interface FetchCall {
  readonly url: string
  readonly init: RequestInit
  /** The headers as they were given: a plain object. */
  readonly headers: Record<string, string>
}

/** What becomes of one call: a response, an error, or neither, ever. */
export type FetchOutcome =
  Response | Error | "hang" | ((call: FetchCall) => Response | Promise<Response>)

/** A fetch that needs no network and no time. */
export interface ScriptedFetch {
  readonly fetch: typeof globalThis.fetch
  readonly calls: readonly FetchCall[]
}

/**
 * A fetch whose first call ends in the first outcome, and so on; the last outcome is for all further calls. It obeys its
 * signal unless told to ignore it.
 */
export function scriptedFetch(
  outcomes: readonly [FetchOutcome, ...FetchOutcome[]],
  { ignoresAbort = false } = {},
): ScriptedFetch {
  const calls: FetchCall[] = []
  const fetch: typeof globalThis.fetch = (input, init = {}) => {
    const call = {
      url: input instanceof Request ? input.url : input.toString(),
      init,
      // The client promises to give a plain object.
      headers: (init.headers ?? {}) as Record<string, string>,
    }
    const outcome = outcomes[Math.min(calls.length, outcomes.length - 1)] ?? "hang"
    calls.push(call)
    if (outcome === "hang") {
      return new Promise((_resolve, reject) => {
        if (ignoresAbort) return
        const { signal } = init
        signal?.addEventListener("abort", () => reject(signal.reason as Error))
      })
    }
    if (outcome instanceof Error) return Promise.reject(outcome)
    if (typeof outcome === "function") return Promise.resolve(outcome(call))
    return Promise.resolve(outcome.bodyUsed ? outcome : outcome.clone())
  }
  return { fetch, calls }
}

export function makeResponse(
  status: number,
  headers: Record<string, string> = {},
  body: BodyInit | null = null,
): Response {
  return new Response(body, { status, headers })
}
