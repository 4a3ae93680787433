// What the documentation of 0.2.x shows, as its users wrote it down: it has to compile and to work as it is.
import {
  BackoffDefaults,
  DURABLE_STREAM_PROTOCOL_QUERY_PARAMS,
  DurableStream,
  DurableStreamError,
  FetchBackoffAbortError,
  FetchError,
  IdempotentProducer,
  InvalidSignalError,
  MissingStreamUrlError,
  SequenceGapError,
  StaleEpochError,
  StreamClosedError,
  asAsyncIterableReadableStream,
  createFetchWithBackoff,
  createFetchWithConsumedBody,
  stream,
  warnIfUsingHttpInBrowser,
} from "@durable-streams/client"
import type {
  AppendOptions,
  BackoffOptions,
  ByteChunk,
  CloseOptions,
  CloseResult,
  CreateOptions,
  DurableStreamErrorCode,
  DurableStreamOptions,
  HeadResult,
  HeadersRecord,
  IdempotentAppendResult,
  IdempotentProducerOptions,
  JsonBatch,
  JsonBatchMeta,
  LegacyLiveMode,
  LiveMode,
  MaybePromise,
  Offset,
  ParamsRecord,
  ReadOptions,
  ReadableStreamAsyncIterable,
  RetryOpts,
  SSEResilienceOptions,
  StreamErrorHandler,
  StreamHandleOptions,
  StreamOptions,
  StreamResponse,
  TextChunk,
} from "@durable-streams/client"

interface UserEvent {
  event: string
  userId?: string
}

const eventsOf = (items: UserEvent[]): string[] => items.map(({ event }) => event)

/** Does what the sections of the documentation do, on streams below `origin`, and tells what it saw. */
export async function run(origin: string): Promise<Record<string, unknown>> {
  return {
    ...(await readAndWrite(`${origin}/events`)),
    ...(await writeExactlyOnce(`${origin}/produced`)),
    ...(await readText(`${origin}/text`)),
    ...(await fail(`${origin}/failures`)),
  }
}

async function readAndWrite(url: string): Promise<Record<string, unknown>> {
  const handle = await DurableStream.create({
    url,
    contentType: "application/json",
    headers: { "Stream-TTL": "86400" },
  })
  await handle.append(JSON.stringify({ event: "user.created", userId: "123" }))
  await handle.append(JSON.stringify({ event: "user.updated", userId: "123" }), {
    seq: "writer-1-000001",
  })

  const res = await stream<UserEvent>({ url, offset: "-1", live: false })
  const items = await res.json()
  const savedOffset = res.offset

  const live = await stream<UserEvent>({
    url,
    offset: savedOffset,
    live: true,
    onError: (error) => {
      if (error.message === "") return
      return {}
    },
  })
  const received: string[] = []
  let checkpoint: Offset = savedOffset
  const seen = new Promise<void>((resolve) => {
    const unsubscribe = live.subscribeJson(async (batch) => {
      received.push(...eventsOf(batch.items))
      checkpoint = batch.offset
      if (received.length === 1) {
        unsubscribe()
        resolve()
      }
    })
  })
  await handle.append(JSON.stringify({ event: "hello" }))
  await seen

  const head = await handle.head()
  let second: unknown = "nothing"
  try {
    res.subscribeJson((batch) => {
      received.push(...eventsOf(batch.items))
    })
  } catch (error) {
    second = error instanceof DurableStreamError && error.code
  }
  await handle.delete()
  return {
    stored: eventsOf(items),
    received,
    resumable: checkpoint === head.offset,
    second,
  }
}

async function writeExactlyOnce(url: string): Promise<Record<string, unknown>> {
  const handle = await DurableStream.create({ url, contentType: "application/json" })
  const errors: string[] = []
  const options: IdempotentProducerOptions = {
    epoch: 0,
    autoClaim: true,
    maxBatchBytes: 1024 * 1024,
    lingerMs: 5,
    maxInFlight: 5,
    signal: new AbortController().signal,
    fetch: globalThis.fetch,
    onError: (error: Error) => {
      if (error instanceof StaleEpochError) errors.push(`Fenced by epoch ${error.currentEpoch}`)
      else if (error instanceof SequenceGapError) {
        errors.push(`Expected seq ${error.expectedSeq}, got ${error.receivedSeq}`)
      } else errors.push(error.message)
    },
  }
  const producer = new IdempotentProducer(handle, "event-processor-1", options)
  for (const event of [{ event: "click", x: 100 }, { event: "key" }]) producer.append(event)
  producer.append(JSON.stringify({ event: "world" }))
  producer.append(new TextEncoder().encode('{"event":"bytes"}'))
  const counts = [producer.pendingCount, producer.inFlightCount, producer.epoch, producer.nextSeq]
  await producer.flush()
  await producer.restart()
  const restarted = [producer.epoch, producer.nextSeq]
  await producer.close()
  let late = "queued"
  try {
    producer.append({ event: "late" })
  } catch {
    late = "thrown"
  }
  const res = await handle.stream<UserEvent>({ live: false })
  const produced = eventsOf(await res.json())
  await handle.delete()
  return { produced, counts, restarted, late, errors, closed: res.streamClosed }
}

async function readText(url: string): Promise<Record<string, unknown>> {
  const handle = await DurableStream.create({ url, contentType: "text/plain", ttlSeconds: 3600 })
  const producer = new IdempotentProducer(handle, "my-producer")
  producer.append("message data")
  producer.append(new Uint8Array([33]))
  await producer.flush()

  let bytes = 0
  const byBytes = await stream({ url, live: false })
  byBytes.subscribeBytes(async (chunk: ByteChunk) => {
    bytes += chunk.data.length
  })
  await byBytes.closed
  let text = ""
  const byText = await stream({ url, live: false })
  byText.subscribeText(async (chunk: TextChunk) => {
    text += chunk.text
  })
  await byText.closed
  let piped = ""
  const chunks: ReadableStreamAsyncIterable<string> = (
    await stream({ url, live: false })
  ).textStream()
  for await (const chunk of asAsyncIterableReadableStream(chunks)) piped += chunk
  await handle.delete()
  return { bytes, text, piped }
}

async function fail(url: string): Promise<Record<string, unknown>> {
  const caught = async (work: Promise<unknown>): Promise<unknown> =>
    work.then(
      () => "nothing",
      (error: unknown) => error,
    )
  const handle = await DurableStream.create({ url, contentType: "text/plain", closed: true })
  const missing = await caught(stream({ url: `${url}/missing`, onError: () => undefined }))
  const closed = await caught(handle.append("more"))
  const aborted = new AbortController()
  aborted.abort()
  const backoff: BackoffOptions = { ...BackoffDefaults, initialDelay: 1, maxRetries: 2 }
  let attempts = 0
  backoff.onFailedAttempt = () => {
    attempts += 1
  }
  const busy: typeof globalThis.fetch = async () => new Response("", { status: 503 })
  const refused = await caught(createFetchWithBackoff(busy, backoff)(url))
  const consumed = await createFetchWithConsumedBody(async () => new Response("body"))(url)
  warnIfUsingHttpInBrowser(url, false)
  await handle.delete()
  return {
    missing: missing instanceof FetchError && missing.status,
    closedAt: closed instanceof StreamClosedError && typeof closed.finalOffset,
    aborted:
      (await caught(stream({ url, signal: aborted.signal }))) instanceof FetchBackoffAbortError,
    noUrl: (await caught(stream({ url: "" }))) instanceof MissingStreamUrlError,
    noSignal: new InvalidSignalError() instanceof Error,
    refused: refused instanceof FetchError && refused.status,
    attempts,
    consumed: await consumed.text(),
  }
}

/** The types as they are put into programs' own. */
export interface Everything {
  append: AppendOptions
  close: [CloseOptions, CloseResult]
  create: CreateOptions
  code: DurableStreamErrorCode
  handle: [StreamHandleOptions, DurableStreamOptions]
  head: HeadResult
  inputs: [HeadersRecord, ParamsRecord, MaybePromise<string>]
  batch: [JsonBatch<UserEvent>, JsonBatchMeta]
  live: [LiveMode, LegacyLiveMode]
  read: [ReadOptions, StreamOptions, StreamResponse<UserEvent>]
  retry: [RetryOpts, StreamErrorHandler]
  sent: IdempotentAppendResult
  sse: SSEResilienceOptions
}

/** A subclass that fixes the content type, as programs write it. */
export class JsonStream extends DurableStream {
  override contentType = "application/json"
}

/** Types that programs rely on beyond calling the client: their mocks, wrappers and settings. */
export function typesOfPrograms(handle: DurableStream, batch: JsonBatch<UserEvent>): unknown {
  const pending: Promise<void>[] = [handle.append("x"), handle.appendStream(new ReadableStream())]
  const maybe: string | undefined = batch.cursor
  const options: StreamOptions = { url: handle.url, signal: undefined, headers: undefined }
  const read: ReadOptions = { offset: batch.offset, cursor: "1", live: undefined }
  const settings: StreamHandleOptions = { url: "", contentType: "text/plain", batching: false }
  const handleOptions: DurableStreamOptions = { ...settings, fetch: undefined, onError: undefined }
  const names: string[] = DURABLE_STREAM_PROTOCOL_QUERY_PARAMS
  const backoff: BackoffOptions = BackoffDefaults
  const longest: number = backoff.maxDelay * backoff.multiplier
  const wrapped: JsonBatch<string> = { ...batch, items: batch.items.map(({ event }) => event) }
  wrapped.offset = batch.offset
  wrapped.upToDate = false
  if (maybe !== undefined) wrapped.cursor = maybe
  const error = new DurableStreamError("no", "UNKNOWN")
  error.code = "NOT_FOUND"
  error.status = 404
  error.details = wrapped
  return [pending, options, read, handleOptions, names, longest, error]
}
