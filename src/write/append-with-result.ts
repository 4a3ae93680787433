import { FetchError } from "../errors/fetch-error.ts"
import { SequenceGapError } from "../errors/sequence-gap-error.ts"
import { StaleEpochError } from "../errors/stale-epoch-error.ts"
import { StreamClosedError } from "../errors/stream-closed-error.ts"
import { checkBoolean } from "../http/option-checks.ts"
import type { ResponseMetadata } from "../http/request.ts"
import { askContentType } from "../http/stream-head.ts"
import { randomId } from "../platform/random-id.ts"
import { mediaType } from "../protocol/content-type.ts"
import {
  PRODUCER_EPOCH_HEADER,
  PRODUCER_SEQ_HEADER,
  STREAM_EXPECTED_OFFSET_HEADER,
  STREAM_OFFSET_HEADER,
} from "../protocol/names.ts"
import { NOW_OFFSET, START_OFFSET } from "../protocol/offset.ts"
import { hasHeader, headerOf, saysClosed } from "../protocol/response-metadata.ts"
import type { AppendQueue } from "./append-queue.ts"
import type { WriteTarget, WriteTerms } from "./append-request.ts"
import { disownBody } from "./promised-body.ts"
import { badRequest, checkAppendOptions, checkText } from "./write-checks.ts"
import type { AppendResult, AppendWithResultOptions } from "./write-options.ts"

/**
 * Appends one body in a request of its own. See `DurableStream.appendWithResult` for the contract.
 *
 * Only a conflict whose cause is certain is a result: it is not if an attempt before it may have been stored, nor if the
 * server can have meant the content type.
 */
export async function appendWithResult(
  target: WriteTarget,
  queue: AppendQueue,
  body: unknown,
  options: AppendWithResultOptions,
): Promise<AppendResult> {
  disownBody(body)
  const given = checkAppendOptions(options)
  const { expectedOffset, close } = options
  if (expectedOffset !== undefined) checkExpectedOffset(expectedOffset)
  const isClose = checkBoolean("close", close) === true
  const outcome: { response?: ResponseMetadata; indeterminate?: FetchError } = {}
  // The server recognises a retry after a lost response by these numbers: it stores nothing twice.
  const isOwn = given.producer === undefined && (expectedOffset !== undefined || isClose)
  const terms: WriteTerms = {
    ...given,
    ...(isOwn && { producer: { id: `append-${randomId()}`, epoch: 0, seq: 0 } }),
    expectedOffset,
    close: isClose,
    isAlone: true,
    onResponse(response) {
      outcome.response = response
    },
    onRetry(error) {
      if (error instanceof FetchError && error.indeterminate) outcome.indeterminate = error
    },
  }
  try {
    await queue.push(terms, body, options.signal, body !== undefined || !isClose)
  } catch (error) {
    // Whatever the last attempt met, an earlier one may have been stored.
    if (outcome.indeterminate !== undefined) throw outcome.indeterminate
    const conflict = await conflictIn(error, target, terms)
    if (conflict === undefined) throw error
    return conflict
  }
  return storedResult(outcome.response, terms)
}

function storedResult(response: ResponseMetadata | undefined, terms: WriteTerms): AppendResult {
  // An empty body, which sends nothing.
  if (response === undefined) return { kind: "ok", deduped: false }
  const { status, headers } = response
  const namesProducer =
    hasHeader(headers, PRODUCER_SEQ_HEADER) || hasHeader(headers, PRODUCER_EPOCH_HEADER)
  return {
    kind: "ok",
    deduped: terms.producer !== undefined && status === 204 && namesProducer,
    ...nextOffsetIn(headerOf(headers, STREAM_OFFSET_HEADER)),
    ...((terms.close === true || saysClosed(headers)) && { closed: true }),
  }
}

/** The conflict that an error tells; undefined if it is another failure, or cannot be told from one. */
async function conflictIn(
  error: unknown,
  { endpoint, handle }: WriteTarget,
  { seq, expectedOffset, contentType }: WriteTerms,
): Promise<AppendResult | undefined> {
  if (error instanceof StreamClosedError) {
    return { kind: "closed", ...nextOffsetIn(error.finalOffset) }
  }
  if (error instanceof StaleEpochError) {
    return { kind: "stale-epoch", currentEpoch: error.currentEpoch }
  }
  if (error instanceof SequenceGapError) {
    const { expectedSeq, receivedSeq } = error
    return { kind: "producer-gap", expectedSeq, receivedSeq }
  }
  const isConflict = error instanceof FetchError && error.status === 409
  if (!isConflict || (seq === undefined && expectedOffset === undefined)) return undefined
  const nextOffset = headerOf(
    new Map(Object.entries(error.headers)),
    STREAM_OFFSET_HEADER.toLowerCase(),
  )
  if (nextOffset === undefined) {
    // A conflict or another content type: one HEAD tells.
    const sent = contentType ?? handle.contentType
    const known = await askContentType(endpoint, undefined, true).catch(() => undefined)
    if (known === undefined || mediaType(known) !== mediaType(sent)) return undefined
  }
  const isBoth = seq !== undefined && expectedOffset !== undefined
  const conflict =
    expectedOffset === undefined || nextOffset === expectedOffset
      ? "seq"
      : isBoth && nextOffset === undefined
        ? "unknown"
        : "expected-offset"
  return { kind: "seq-conflict", conflict, ...nextOffsetIn(nextOffset) }
}

function nextOffsetIn(offset: string | null | undefined): { nextOffset?: string } {
  return offset ? { nextOffset: offset } : {}
}

function checkExpectedOffset(offset: unknown): void {
  checkText("expectedOffset", offset, STREAM_EXPECTED_OFFSET_HEADER, true)
  if (offset !== START_OFFSET && offset !== NOW_OFFSET) return
  throw badRequest(
    `The option expectedOffset must be an offset that the server gave, not "${offset}".`,
  )
}
