import type { Endpoint } from "../http/endpoint.ts"
import { warnIfUsingHttpInBrowser } from "../platform/http-warning.ts"
import { Session } from "./session.ts"
import { SessionResponse } from "./session-response.ts"
import { sessionSettings } from "./session-settings.ts"
import type { ReadOptions } from "./stream-options.ts"
import type { StreamResponse } from "./stream-response.ts"

/**
 * Begins to read a stream; settles with the first answer.
 *
 * @param endpoint - the stream and what its requests are made with
 * @param options - where and how to read; a signal goes beside the endpoint's
 * @throws what the first request failed with, or FetchBackoffAbortError
 */
export async function openStream<TJson>(
  endpoint: Endpoint,
  options: ReadOptions,
): Promise<StreamResponse<TJson>> {
  const settings = sessionSettings(options)
  warnIfUsingHttpInBrowser(endpoint.url, options.warnOnHttp)
  const session = new Session(endpoint, settings)
  await session.start()
  return new SessionResponse<TJson>(endpoint.url, session, settings)
}
