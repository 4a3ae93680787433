import { isJsonContentType } from "../protocol/content-type.ts"
import type { AppendPart } from "./append-body.ts"

/** Gives parts until there are none. */
export interface PartSource {
  next(): Promise<readonly AppendPart[] | undefined>
}

/**
 * The body of a streamed upload: content as it comes, messages as the elements of one array. Reads ahead of the network
 * by nothing.
 *
 * @param first - the parts that were read already; at least one
 * @param onFailure - told why the parts could not be read; `fetch` hides it
 */
export function uploadBody(
  first: readonly AppendPart[],
  parts: PartSource,
  contentType: string,
  onFailure: (error: unknown) => void,
): ReadableStream<Uint8Array> {
  const isJson = isJsonContentType(contentType)
  const encoder = new TextEncoder()
  let isFirst = true
  const encode = (some: readonly AppendPart[]) => {
    const lead = isJson ? (isFirst ? "[" : ",") : ""
    isFirst = false
    // A JSON splitter gives text and a byte splitter bytes: neither mixes them.
    const texts = some.filter((part) => typeof part === "string")
    if (texts.length > 0) return [encoder.encode(lead + texts.join(isJson ? "," : ""))]
    return some.filter((part) => typeof part !== "string")
  }
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          const some = isFirst ? first : await parts.next()
          if (some !== undefined) {
            for (const chunk of encode(some)) controller.enqueue(chunk)
            return
          }
          if (isJson) controller.enqueue(encoder.encode("]"))
          controller.close()
        } catch (error) {
          onFailure(error)
          controller.error(error)
        }
      },
    },
    { highWaterMark: 0 },
  )
}
