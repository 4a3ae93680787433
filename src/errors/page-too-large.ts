import { describeUrl } from "../protocol/request-url.ts"
import { DurableStreamError } from "./durable-stream-error.ts"

/**
 * The error for data that would have to be held in memory at once and is larger than the limit.
 *
 * @param what - what exceeded it: "A page"
 * @param limitBytes - the limit in bytes; undefined if it is the engine's
 */
export function pageTooLarge(
  url: string,
  what: string,
  limitBytes: number | undefined,
  cause?: unknown,
): DurableStreamError {
  const limit =
    limitBytes === undefined ? "the engine can hold" : `maxPageBytes (${limitBytes} bytes) allows`
  return new DurableStreamError(
    `${what} of ${describeUrl(url)} is larger than ${limit}. Read bytes and text in parts, with bodyStream() or textStream().`,
    "PAGE_TOO_LARGE",
    undefined,
    undefined,
    cause === undefined ? undefined : { cause },
  )
}
