import { StreamClosedError } from "../errors/stream-closed-error.ts"
import { checkSignal, type Endpoint } from "../http/endpoint.ts"
import { checkObject } from "../http/option-checks.ts"
import { randomId } from "../platform/random-id.ts"
import type { AppendMarks } from "./append-request.ts"
import type { AppendQueue } from "./append-queue.ts"
import { headStream } from "./head-stream.ts"
import { disownBody } from "./promised-body.ts"
import { checkContentType } from "./write-checks.ts"
import type { AppendResult, CloseOptions, CloseResult } from "./write-options.ts"

/**
 * Closes a stream after the writes that are queued.
 *
 * @throws StreamClosedError where there is a body and the stream is closed already, else as `exchange`
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
  const hasContent = body !== undefined
  // With the numbers of a producer that exists for this one request, the server knows a repetition when it sees one.
  const marks: AppendMarks = hasContent
    ? { close: true, producer: { id: `close-${randomId()}`, epoch: 0, seq: 0 } }
    : { close: true }
  const closed = queue.push({ hasContent, contentType, marks }, body, signal)
  const { offset } = await (hasContent ? closed : closed.catch(offsetOfClosedStream))
  return { finalOffset: offset || (await askOffset(endpoint, signal)) }
}

/** Somebody else closed it first: what was asked for has happened. */
function offsetOfClosedStream(error: unknown): AppendResult {
  if (error instanceof StreamClosedError) return { offset: error.finalOffset ?? "" }
  throw error
}

/** The stream is closed whatever becomes of this question. */
async function askOffset(endpoint: Endpoint, signal: AbortSignal | undefined): Promise<string> {
  const head = await headStream(endpoint, signal).catch(() => undefined)
  return (head?.exists === true ? head.offset : undefined) ?? ""
}
