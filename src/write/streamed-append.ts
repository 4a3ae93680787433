import { LinkedAbortController, raceAbort } from "../http/abort.ts"
import type { Endpoint } from "../http/endpoint.ts"
import type { ResponseMetadata } from "../http/request.ts"
import { canStreamRequests } from "../platform/request-streams.ts"
import { isJsonContentType } from "../protocol/content-type.ts"
import { STREAM_OFFSET_HEADER } from "../protocol/names.ts"
import { describeUrl } from "../protocol/request-url.ts"
import { joinParts, type AppendPart } from "./append-body.ts"
import { sendAppend, type AppendMarks, type WriteTerms } from "./append-request.ts"
import { batchedUpload } from "./batched-upload.ts"
import { ByteSplitter } from "./content-splitter.ts"
import { headExistingStream } from "./head-stream.ts"
import { JsonSplitter } from "./json-splitter.ts"
import { PartReader } from "./part-reader.ts"
import { openSource, type AppendSource, type SourceReader } from "./source-reader.ts"
import type { StreamContentType } from "./stream-content-type.ts"
import { uploadBody } from "./upload-body.ts"
import { checkAppendOptions } from "./write-checks.ts"
import type { AppendOptions, AppendResult } from "./write-options.ts"

/** How much of a source is read ahead where it is sent in several requests; gateways often refuse more than 1 MiB. */
const MAX_BATCH_SIZE = 256 * 1024

/** What a streamed append goes to. */
export interface UploadTarget {
  readonly endpoint: Endpoint
  readonly contentType: StreamContentType
}

/**
 * Appends what a source gives. See `DurableStream.appendStream` for the contract.
 *
 * @throws the source's own error, DurableStreamError `PARSE_ERROR` for JSON that is none, else as `exchange`
 */
export async function streamedAppend(
  target: UploadTarget,
  source: AppendSource,
  options: AppendOptions,
): Promise<AppendResult> {
  const reader = openSource(source)
  let scope: LinkedAbortController | undefined
  let reason: unknown
  try {
    const terms = checkAppendOptions(options)
    scope = new LinkedAbortController(target.endpoint.signal, options.signal)
    return await upload(target, reader, terms, scope.signal)
  } catch (error) {
    reason = error
    throw error
  } finally {
    // Also after a success: a server may answer before it has read to the end.
    reader.cancel(reason)
    scope?.abort()
  }
}

async function upload(
  { endpoint, contentType: known }: UploadTarget,
  source: SourceReader,
  terms: WriteTerms,
  signal: AbortSignal,
): Promise<AppendResult> {
  const stream = describeUrl(endpoint.url)
  const first = await raceAbort(source.next(), signal)
  // A body that can be read once only cannot be sent to find out whether a guess was right.
  const type =
    terms.contentType ??
    known.current ??
    (await known.ask(signal)) ??
    (typeof first.value === "string" ? "text/plain" : "application/octet-stream")
  const splitter = isJsonContentType(type) ? new JsonSplitter(stream) : new ByteSplitter()
  const parts = new PartReader(source, first, splitter, signal)
  const beginning = await parts.next()
  if (beginning === undefined) return { offset: await tailOf(endpoint, signal) }
  const request = { endpoint, type, marks: terms.marks, beginning, parts }
  const answer = canStreamRequests()
    ? await uploadAtOnce(request, signal)
    : await uploadInBatches(request, signal)
  return { offset: answer.headers.get(STREAM_OFFSET_HEADER) ?? "" }
}

interface Upload {
  readonly endpoint: Endpoint
  readonly type: string
  readonly marks: AppendMarks
  readonly beginning: readonly AppendPart[]
  readonly parts: PartReader
}

async function uploadAtOnce(
  { endpoint, type, marks, beginning, parts }: Upload,
  signal: AbortSignal,
): Promise<ResponseMetadata> {
  const failures: unknown[] = []
  const body = uploadBody(beginning, parts, type, (error) => failures.push(error))
  try {
    const content = { type, body }
    return await sendAppend(endpoint, { content, marks, streamed: true }, signal)
  } catch (error) {
    throw failures.length > 0 ? failures[0] : error
  }
}

function uploadInBatches(
  { endpoint, type, marks, beginning, parts }: Upload,
  signal: AbortSignal,
): Promise<ResponseMetadata> {
  // A sequence and a producer's numbers stand for one request.
  const isWhole = marks.seq !== undefined || marks.producer !== undefined
  return batchedUpload({
    first: beginning,
    parts,
    maxBatchSize: isWhole ? Infinity : MAX_BATCH_SIZE,
    send: (batch) =>
      sendAppend(endpoint, { content: { type, body: joinParts(batch, type) }, marks }, signal),
  })
}

async function tailOf(endpoint: Endpoint, signal: AbortSignal): Promise<string> {
  const { offset } = await headExistingStream(endpoint, signal)
  return offset ?? ""
}
