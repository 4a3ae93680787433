import { errorAnswer, textAnswer, type ModelAnswer, type ModelRequest } from "./messages.ts"
import { readProducerHeaders, type ProducerTuple } from "./producers.ts"
import { mediaTypeOf, ModelBodyError, ModelStream } from "./stream.ts"
import { offsetOf } from "./offsets.ts"

/** `POST`: append, close, or both; the order of the checks is the order in which PROTOCOL.md gives them weight. */
export function answerPost(stream: ModelStream, request: ModelRequest): ModelAnswer {
  const { headers, body } = request
  const closing = isClosing(headers)
  const tuple = readProducerHeaders(headers)
  // Malformed requests were refused before the stream was looked for.
  if (tuple === "invalid") return errorAnswer(400, "Invalid producer headers")
  if (stream.closed) return answerPostToClosed(stream, tuple, closing && body.length === 0)
  const contentType = headers.get("content-type")
  if (body.length > 0 && mediaTypeOf(contentType ?? "") !== mediaTypeOf(stream.contentType)) {
    return errorAnswer(409, "Content-type mismatch")
  }
  const verdict = tuple && stream.producers.judge(tuple)
  if (tuple && verdict && verdict.kind !== "accepted") return refusal(stream, tuple, verdict)
  const commit = verdict?.kind === "accepted" ? verdict.commit : undefined
  // A sequence orders content: a request that only closes has none.
  const seq = body.length > 0 ? headers.get("stream-seq") : undefined
  if (seq !== undefined && stream.lastSeq !== undefined && seq <= stream.lastSeq) {
    return errorAnswer(409, "Sequence conflict")
  }
  const problem = tryAppend(stream, body)
  if (problem) return problem
  commit?.()
  stream.lastSeq = seq ?? stream.lastSeq
  if (closing) stream.close(tuple)
  stream.changed()
  return appended(stream, tuple && body.length > 0 ? 200 : 204, tuple, tuple?.seq)
}

/** Why a `POST` is refused whatever the stream is, or undefined. */
export function refuseMalformedPost(request: ModelRequest): ModelAnswer | undefined {
  const { headers, body } = request
  if (readProducerHeaders(headers) === "invalid")
    return errorAnswer(400, "Invalid producer headers")
  if (body.length === 0) return isClosing(headers) ? undefined : errorAnswer(400, "Empty body")
  return headers.has("content-type") ? undefined : errorAnswer(400, "Content-Type is required")
}

function isClosing(headers: ReadonlyMap<string, string>): boolean {
  return headers.get("stream-closed")?.toLowerCase() === "true"
}

function tryAppend(stream: ModelStream, body: Uint8Array): ModelAnswer | undefined {
  if (body.length === 0) return undefined
  try {
    if (stream.isJson && ModelStream.parseMessages(body).length === 0) {
      return errorAnswer(400, "Empty arrays are not allowed")
    }
    stream.append(body)
    return undefined
  } catch (error) {
    if (error instanceof ModelBodyError) return errorAnswer(400, error.message)
    throw error
  }
}

function answerPostToClosed(
  stream: ModelStream,
  tuple: ProducerTuple | undefined,
  closeOnly: boolean,
): ModelAnswer {
  const by = stream.closedBy
  if (tuple && by?.id === tuple.id && by.epoch === tuple.epoch && by.seq === tuple.seq) {
    return appended(stream, 204, tuple, tuple.seq)
  }
  if (closeOnly && !tuple) return appended(stream, 204, undefined, undefined)
  return errorAnswer(409, "Stream is closed", {
    "stream-closed": "true",
    "stream-next-offset": offsetOf(stream.length),
  })
}

function appended(
  stream: ModelStream,
  status: number,
  tuple: ProducerTuple | undefined,
  seq: number | undefined,
): ModelAnswer {
  const headers: Record<string, string> = { "stream-next-offset": offsetOf(stream.length) }
  if (stream.closed) headers["stream-closed"] = "true"
  if (tuple) Object.assign(headers, producerHeaders(tuple.epoch, seq))
  return textAnswer(status, headers)
}

function producerHeaders(epoch: number, seq: number | undefined): Record<string, string> {
  return {
    "producer-epoch": String(epoch),
    ...(seq === undefined ? {} : { "producer-seq": String(seq) }),
  }
}

function refusal(
  stream: ModelStream,
  tuple: ProducerTuple,
  verdict: Exclude<ReturnType<ModelStream["producers"]["judge"]>, { kind: "accepted" }>,
): ModelAnswer {
  switch (verdict.kind) {
    case "duplicate":
      return textAnswer(204, producerHeaders(verdict.epoch, verdict.lastSeq))
    case "stale":
      return errorAnswer(
        403,
        "Stale producer epoch",
        producerHeaders(verdict.currentEpoch, undefined),
      )
    case "epoch-not-from-zero":
      return errorAnswer(400, "New epoch must start with sequence 0")
    case "gap":
      return errorAnswer(409, `Producer sequence gap in ${stream.path}`, {
        "producer-expected-seq": String(verdict.expected),
        "producer-received-seq": String(tuple.seq),
      })
  }
}
