import { raceAbort } from "../http/abort.ts"
import { decodeUtf8, encodeUtf8 } from "../platform/text.ts"
import { joinBytes } from "../protocol/bytes.ts"

/**
 * Reads a body that the other side can make as long and as slow as it likes.
 *
 * @param signal - a LinkedAbortController's
 * @returns the bytes; undefined if there are more than `maxBytes`
 * @throws as the body does; FetchBackoffAbortError on abort
 */
export async function readBytes(
  source: Request | Response,
  maxBytes: number,
  signal: AbortSignal,
): Promise<Uint8Array | undefined> {
  if (source.body === null) return new Uint8Array()
  // Bodies of React Native and of node-fetch are not the platform's streams.
  if (typeof (source.body as Partial<ReadableStream> | undefined)?.getReader !== "function") {
    return encodeUtf8(await raceAbort(source.text(), signal))
  }
  const reader = source.body.getReader()
  const chunks: Uint8Array[] = []
  try {
    for (let size = 0; size <= maxBytes;) {
      const { done, value } = await raceAbort(reader.read(), signal)
      if (done) return joinBytes(chunks)
      size += value.byteLength
      chunks.push(value)
    }
    return undefined
  } finally {
    // What is not read is let go of; a body that has ended takes no notice.
    reader.cancel().catch(() => undefined)
  }
}

/** The JSON in a body; undefined if it is too long or is none: a proxy's page. */
export function parseJson(bytes: Uint8Array | undefined): unknown {
  try {
    return bytes && JSON.parse(decodeUtf8(bytes))
  } catch {
    return undefined
  }
}
