import { errorResponse, textResponse, type ModelResponse, type ModelRequest } from "./messages.ts"
import { readProducerHeaders, type ProducerTuple } from "./producers.ts"
import { mediaTypeOf, ModelBodyError, ModelStream } from "./stream.ts"
import { offsetOf } from "./offsets.ts"

/** What a server may choose in its responses to writes. All of it can change while the server runs. */
export interface WriteChoices {
  /** Evaluate `Stream-Expected-Offset`; a server that does not know it ignores it. */
  expectedOffset: boolean
  /** Send `Stream-Next-Offset` with the 204 of a producer's duplicate. */
  offsetOfDuplicates: boolean
  /** Send `Producer-Epoch` and `Producer-Seq` with the 204 of a producer's duplicate. */
  numbersOfDuplicates: boolean
}

/** The defaults, as on the reference server. */
export const DEFAULT_WRITE_CHOICES: WriteChoices = {
  expectedOffset: false,
  offsetOfDuplicates: false,
  numbersOfDuplicates: true,
}

/** `POST`: append, close, or both; the order of the checks is the order in which PROTOCOL.md gives them weight. */
export function handlePost(
  stream: ModelStream,
  choices: WriteChoices,
  request: ModelRequest,
): ModelResponse {
  const { headers, body } = request
  const closing = isClosing(headers)
  const tuple = readProducerHeaders(headers)
  // Malformed requests are rejected before the stream is looked up.
  if (tuple === "invalid") return errorResponse(400, "Invalid producer headers")
  if (stream.closed) return handlePostToClosed(stream, tuple, closing && body.length === 0)
  const contentType = headers.get("content-type")
  if (body.length > 0 && mediaTypeOf(contentType ?? "") !== mediaTypeOf(stream.contentType)) {
    return errorResponse(409, "Content-type mismatch")
  }
  const verdict = tuple && stream.producers.judge(tuple)
  if (tuple && verdict && verdict.kind !== "accepted")
    return rejection(stream, choices, tuple, verdict)
  const commit = verdict?.kind === "accepted" ? verdict.commit : undefined
  // A sequence orders content: a request that only closes has none.
  const seq = body.length > 0 ? headers.get("stream-seq") : undefined
  const expected = choices.expectedOffset ? headers.get("stream-expected-offset") : undefined
  const tail = offsetOf(stream.length)
  const isSeqConflict = seq !== undefined && stream.lastSeq !== undefined && seq <= stream.lastSeq
  if (isSeqConflict || (expected !== undefined && expected !== tail)) {
    const tailHeaders: Record<string, string> =
      expected === undefined ? {} : { "stream-next-offset": tail }
    return errorResponse(409, "Conflict", tailHeaders)
  }
  const problem = tryAppend(stream, body)
  if (problem) return problem
  commit?.()
  stream.lastSeq = seq ?? stream.lastSeq
  if (closing) stream.close(tuple)
  stream.changed()
  return appended(stream, tuple && body.length > 0 ? 200 : 204, tuple, tuple?.seq)
}

/** The rejection of a `POST` that is malformed for every stream, or undefined. */
export function rejectMalformedPost(request: ModelRequest): ModelResponse | undefined {
  const { headers, body } = request
  if (readProducerHeaders(headers) === "invalid")
    return errorResponse(400, "Invalid producer headers")
  if (body.length === 0) return isClosing(headers) ? undefined : errorResponse(400, "Empty body")
  return headers.has("content-type") ? undefined : errorResponse(400, "Content-Type is required")
}

function isClosing(headers: ReadonlyMap<string, string>): boolean {
  return headers.get("stream-closed")?.toLowerCase() === "true"
}

function tryAppend(stream: ModelStream, body: Uint8Array): ModelResponse | undefined {
  if (body.length === 0) return undefined
  try {
    if (stream.isJson && ModelStream.parseMessages(body).length === 0) {
      return errorResponse(400, "Empty arrays are not allowed")
    }
    stream.append(body)
    return undefined
  } catch (error) {
    if (error instanceof ModelBodyError) return errorResponse(400, error.message)
    throw error
  }
}

function handlePostToClosed(
  stream: ModelStream,
  tuple: ProducerTuple | undefined,
  closeOnly: boolean,
): ModelResponse {
  const by = stream.closedBy
  if (tuple && by?.id === tuple.id && by.epoch === tuple.epoch && by.seq === tuple.seq) {
    return appended(stream, 204, tuple, tuple.seq)
  }
  if (closeOnly && !tuple) return appended(stream, 204, undefined, undefined)
  return errorResponse(409, "Stream is closed", {
    "stream-closed": "true",
    "stream-next-offset": offsetOf(stream.length),
  })
}

function appended(
  stream: ModelStream,
  status: number,
  tuple: ProducerTuple | undefined,
  seq: number | undefined,
): ModelResponse {
  const headers: Record<string, string> = { "stream-next-offset": offsetOf(stream.length) }
  if (stream.closed) headers["stream-closed"] = "true"
  if (tuple) Object.assign(headers, producerHeaders(tuple.epoch, seq))
  return textResponse(status, headers)
}

function producerHeaders(epoch: number, seq: number | undefined): Record<string, string> {
  return {
    "producer-epoch": String(epoch),
    ...(seq === undefined ? {} : { "producer-seq": String(seq) }),
  }
}

function rejection(
  stream: ModelStream,
  choices: WriteChoices,
  tuple: ProducerTuple,
  verdict: Exclude<ReturnType<ModelStream["producers"]["judge"]>, { kind: "accepted" }>,
): ModelResponse {
  switch (verdict.kind) {
    case "duplicate":
      return textResponse(204, {
        ...(choices.numbersOfDuplicates ? producerHeaders(verdict.epoch, verdict.lastSeq) : {}),
        ...(choices.offsetOfDuplicates ? { "stream-next-offset": offsetOf(stream.length) } : {}),
      })
    case "stale":
      return errorResponse(
        403,
        "Stale producer epoch",
        producerHeaders(verdict.currentEpoch, undefined),
      )
    case "epoch-not-from-zero":
      return errorResponse(400, "New epoch must start with sequence 0")
    case "gap":
      return errorResponse(409, `Producer sequence gap in ${stream.path}`, {
        "producer-expected-seq": String(verdict.expected),
        "producer-received-seq": String(tuple.seq),
      })
  }
}
