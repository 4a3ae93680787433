/**
 * Gives what `fetch` resolved with where it is an answer, and throws, as `fetch` would have to, where it is none: a mock that
 * forgot to answer, `Response.error()` as service workers give it, and an answer that the platform hides.
 */
export function checkResponse(response: Response): Response {
  if (!isResponse(response)) throw new TypeError("The option fetch resolved without a Response")
  const { type, status } = response
  if (type === "opaque" || type === "opaqueredirect") {
    throw new TypeError(
      "The option fetch resolved with an opaque answer: it must use the mode cors",
    )
  }
  // No server answers with the status 0.
  if (status === 0) throw new TypeError("network error")
  return response
}

/** Whether a value has what a Response is asked for first: of whatever realm it is, and whoever made it. */
export function isResponse(value: unknown): value is Response {
  // Any value may be asked for a property, but null and undefined.
  const given = value as Partial<Response> | null | undefined
  return typeof given?.status === "number" && typeof given.headers?.get === "function"
}
