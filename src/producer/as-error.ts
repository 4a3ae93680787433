import { DurableStreamError } from "../errors/durable-stream-error.ts"

/** What was thrown, as an Error: a caller's function (a header, a fetch) can throw anything. */
export function asError(thrown: unknown): Error {
  if (thrown instanceof Error) return thrown
  return new DurableStreamError("A request failed.", "UNKNOWN", undefined, undefined, {
    cause: thrown,
  })
}
