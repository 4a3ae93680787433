import { StreamClosedError } from "../errors/stream-closed-error.ts"
import { checkSignal, type Endpoint } from "../http/endpoint.ts"
import { checkObject } from "../http/option-checks.ts"
import { findTail } from "../http/stream-head.ts"
import { randomId } from "../platform/random-id.ts"
import { STREAM_OFFSET_HEADER } from "../protocol/names.ts"
import type { CloseResult } from "../protocol/offset.ts"
import { headerOf } from "../protocol/response-metadata.ts"
import type { AppendQueue } from "./append-queue.ts"
import { disownBody } from "./promised-body.ts"
import { checkContentType } from "./write-checks.ts"
import type { CloseOptions } from "./write-options.ts"

/**
 * Closes a stream after the writes that are queued.
 *
 * @throws StreamClosedError if there is a body and the stream is closed already, else as `exchange`
 */
export async function closeStream(
  queue: AppendQueue,
  endpoint: Endpoint,
  options: CloseOptions,
): Promise<CloseResult> {
  const { body, contentType, signal } = checkObject("options", options)
  disownBody(body)
  checkSignal(signal)
  checkContentType(contentType)
  let finalOffset: string | undefined
  const terms = {
    contentType,
    close: true,
    // A producer that exists for this one request: the server recognises a repetition.
    producer: { id: `close-${randomId()}`, epoch: 0, seq: 0 },
    onResponse({ headers }: { readonly headers: Headers }) {
      finalOffset = headerOf(headers, STREAM_OFFSET_HEADER)
    },
  }
  const hasBody = body !== undefined
  try {
    await queue.push(terms, body, signal, hasBody)
  } catch (error) {
    // Another client closed it first: what was requested has happened.
    if (hasBody || !(error instanceof StreamClosedError)) throw error
    finalOffset = error.finalOffset
  }
  // The stream is closed whatever becomes of the HEAD.
  return { finalOffset: finalOffset || (await findTail(endpoint, signal)) }
}
