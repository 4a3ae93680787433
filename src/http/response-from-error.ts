import type { FetchError } from "../errors/fetch-error.ts"
import { isBodiless } from "./bodiless.ts"
import { isResponse } from "./check-response.ts"

/**
 * The answer that an error carries. Layers over `fetch` throw where the answer is no success: `createFetchWithBackoff` a
 * FetchError, others an error with the Response in the property `response` (ky, ofetch), or the Response itself. Such an error
 * is the server's word, not a failure of the network.
 *
 * @param error - what a `fetch` threw
 * @param needsBody - whether a success is of no use without its body, as a read's: what an error carries has been read, or
 *   has broken off
 * @returns undefined where it carries none
 */
export function responseFromError(error: unknown, needsBody: boolean): Response | undefined {
  if (typeof error !== "object" || error === null) return undefined
  const answer = answerOf(error)
  if (answer === undefined || !isAnswered(answer.status)) return undefined
  return needsBody && answer.status < 300 ? undefined : answer
}

function answerOf(error: object): Response | undefined {
  if (isResponse(error)) return withHeaders(error)
  // Any object may be asked for a property.
  const { response } = error as { response?: unknown }
  if (isResponse(response)) return withHeaders(response)
  return isFetchError(error) ? answerOfFetchError(error) : undefined
}

/** Whether it is this package's, or what another copy of it throws (its CommonJS build). */
function isFetchError(error: object): error is FetchError {
  // As above; each is checked.
  const { name, status, headers } = error as { name?: unknown; status?: unknown; headers?: unknown }
  const hasHeaders = typeof headers === "object" && headers !== null
  return name === "FetchError" && isAnswered(status) && hasHeaders
}

function answerOfFetchError({ status, headers, text, json }: FetchError): Response | undefined {
  try {
    const content = json === undefined ? text : JSON.stringify(json)
    const body = isBodiless(status) ? null : (content ?? null)
    return new Response(body, { status, headers })
  } catch {
    // One that somebody made up of what no answer can hold.
    return undefined
  }
}

/** Some layers' headers can be asked for by name, but not listed as the platform's are. */
function withHeaders(answer: Response): Response | undefined {
  const { status, headers } = answer
  // The type says what the platform's have.
  if (typeof (headers as Partial<Headers>).entries === "function") return answer
  try {
    return new Response(null, { status, headers: [...headers] })
  } catch {
    return undefined
  }
}

function isAnswered(status: unknown): status is number {
  return typeof status === "number" && status >= 200 && status <= 599
}
