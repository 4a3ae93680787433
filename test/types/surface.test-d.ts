import { describe, expectTypeOf, it } from "vitest"
import type * as client from "../../src/index.ts"
import type {
  DurableStream,
  BackoffOptions,
  ByteChunk,
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
  ReadableStreamAsyncIterable,
  ReadOptions,
  RetryOpts,
  SSEResilienceOptions,
  StreamErrorHandler,
  StreamOptions,
  StreamResponse,
  TextChunk,
} from "../../src/index.ts"
import {
  BackoffDefaults,
  DurableStreamError,
  FetchError,
  IdempotentProducer,
  SequenceGapError,
  StaleEpochError,
  StreamClosedError,
  stream,
} from "../../src/index.ts"

interface Chat {
  readonly text: string
}

declare const response: StreamResponse<Chat>
declare const handle: DurableStream

describe("the exports that programs written against 0.2.x use", () => {
  it("are all there", () => {
    type Names = keyof typeof client
    expectTypeOf<
      | "stream"
      | "DurableStream"
      | "IdempotentProducer"
      | "DurableStreamError"
      | "FetchError"
      | "FetchBackoffAbortError"
      | "StreamClosedError"
      | "StaleEpochError"
      | "SequenceGapError"
      | "MissingStreamUrlError"
      | "InvalidSignalError"
      | "BackoffDefaults"
      | "createFetchWithBackoff"
      | "createFetchWithConsumedBody"
      | "asAsyncIterableReadableStream"
      | "warnIfUsingHttpInBrowser"
      | "STREAM_OFFSET_HEADER"
      | "STREAM_CURSOR_HEADER"
      | "STREAM_UP_TO_DATE_HEADER"
      | "STREAM_CLOSED_HEADER"
      | "STREAM_SEQ_HEADER"
      | "STREAM_TTL_HEADER"
      | "STREAM_EXPIRES_AT_HEADER"
      | "OFFSET_QUERY_PARAM"
      | "LIVE_QUERY_PARAM"
      | "CURSOR_QUERY_PARAM"
      | "SSE_OFFSET_FIELD"
      | "SSE_CURSOR_FIELD"
      | "SSE_CLOSED_FIELD"
      | "SSE_COMPATIBLE_CONTENT_TYPES"
      | "DURABLE_STREAM_PROTOCOL_QUERY_PARAMS"
      | "PRODUCER_ID_HEADER"
      | "PRODUCER_EPOCH_HEADER"
      | "PRODUCER_SEQ_HEADER"
      | "PRODUCER_EXPECTED_SEQ_HEADER"
      | "PRODUCER_RECEIVED_SEQ_HEADER"
    >().toExtend<Names>()
  })
})

describe("reading", () => {
  it("takes every option", () => {
    const headers: HeadersRecord = { a: "1", b: async () => "2" }
    const params: ParamsRecord = { a: "1", b: undefined }
    const handler: StreamErrorHandler = (error: Error) =>
      error instanceof FetchError && error.status === 401 ? {} : undefined
    const resilience: SSEResilienceOptions = {
      minConnectionDuration: 1,
      maxShortConnections: 2,
      backoffBaseDelay: 3,
      backoffMaxDelay: 4,
      logWarnings: false,
    }
    const options: StreamOptions = {
      url: new URL("https://h/s"),
      headers,
      params,
      signal: new AbortController().signal,
      fetch: globalThis.fetch,
      backoffOptions: { ...BackoffDefaults, maxRetries: 3, onFailedAttempt: () => undefined },
      offset: "now",
      live: "sse",
      json: true,
      onError: handler,
      sseResilience: resilience,
      warnOnHttp: false,
      idleTimeoutMs: 1,
      pauseWhenHidden: { hidden: false, subscribe: () => () => undefined },
      readAhead: 0,
      observe: (event) => {
        if (event.kind === "transport") expectTypeOf(event.to).toBeString()
      },
    }
    expectTypeOf(stream<Chat>(options)).resolves.toEqualTypeOf<StreamResponse<Chat>>()
    expectTypeOf(handle.stream<Chat>({ live: false })).resolves.toEqualTypeOf<
      StreamResponse<Chat>
    >()
    expectTypeOf<LiveMode>().toEqualTypeOf<boolean | "long-poll" | "sse">()
    expectTypeOf<LegacyLiveMode>().toEqualTypeOf<"long-poll" | "sse">()
    expectTypeOf<{ headers: { a: string } }>().toExtend<RetryOpts>()
    expectTypeOf<{ offset: Offset }>().toExtend<ReadOptions>()
    expectTypeOf<MaybePromise<string>>().toEqualTypeOf<string | Promise<string>>()
    expectTypeOf<{ initialDelay: 1; maxDelay: 2; multiplier: 3 }>().toExtend<BackoffOptions>()
    // @ts-expect-error -- no such mode
    void stream({ url: "https://h/s", live: "websocket" })
  })

  it("gives what was asked for", () => {
    expectTypeOf(response.json()).resolves.toEqualTypeOf<Chat[]>()
    expectTypeOf(response.json<number>()).resolves.toEqualTypeOf<number[]>()
    expectTypeOf(response.text()).resolves.toBeString()
    expectTypeOf(response.body()).resolves.toExtend<Uint8Array>()
    expectTypeOf(response.jsonStream()).toEqualTypeOf<ReadableStreamAsyncIterable<Chat>>()
    expectTypeOf(response.textStream()).toExtend<ReadableStream<string> & AsyncIterable<string>>()
    expectTypeOf(response.bodyStream()).toExtend<AsyncIterable<Uint8Array>>()
    expectTypeOf(response.subscribeJson(async () => undefined)).toEqualTypeOf<() => void>()
    expectTypeOf(response.subscribeBytes(({ data }: ByteChunk) => data.byteLength)).toBeFunction()
    expectTypeOf(response.subscribeText(({ text }: TextChunk) => text.length)).toBeFunction()
    expectTypeOf(response.jsonBatches()).toExtend<AsyncIterable<JsonBatch<Chat>>>()
    expectTypeOf<JsonBatch<Chat>>().toExtend<JsonBatchMeta & { items: Chat[] }>()
    expectTypeOf(response.closed).toEqualTypeOf<Promise<void>>()
    expectTypeOf(response.offset).toBeString()
    expectTypeOf(response.upToDate).toBeBoolean()
    expectTypeOf(response.streamClosed).toBeBoolean()
    expectTypeOf(response.headers).toExtend<Headers>()
    expectTypeOf(response.status).toBeNumber()
    expectTypeOf(response.startOffset).toBeString()
    response.cancel(new Error("enough"))
  })
})

describe("the producer", () => {
  it("takes every option and tells what becomes of its messages", () => {
    const options: IdempotentProducerOptions = {
      epoch: 1,
      autoClaim: true,
      maxBatchBytes: 1,
      lingerMs: 0,
      maxInFlight: 1,
      headers: { a: "1" },
      signal: new AbortController().signal,
      fetch: globalThis.fetch,
      onError: (error: Error) => {
        expectTypeOf(error.message).toBeString()
      },
      backoffOptions: { maxRetries: 1 },
      deliveryTimeoutMs: Infinity,
      highWaterMarkBytes: 1,
      maxBufferedBytes: 2,
    }
    const producer = new IdempotentProducer(handle, "id", options)
    expectTypeOf(producer.append({ any: "value" })).toBeVoid()
    expectTypeOf(producer.send("x")).resolves.toEqualTypeOf<IdempotentAppendResult>()
    expectTypeOf(producer.flush()).toEqualTypeOf<Promise<void>>()
    expectTypeOf(producer.close()).resolves.toEqualTypeOf<client.CloseResult>()
    expectTypeOf(producer.detach()).toEqualTypeOf<Promise<void>>()
    expectTypeOf(producer.restart()).toEqualTypeOf<Promise<void>>()
    expectTypeOf(producer.ready).toEqualTypeOf<Promise<void>>()
    expectTypeOf(producer.undelivered()).toExtend<readonly Uint8Array[]>()
    expectTypeOf(producer.epoch).toBeNumber()
    expectTypeOf(producer.nextSeq).toBeNumber()
    expectTypeOf(producer.pendingCount).toBeNumber()
    expectTypeOf(producer.inFlightCount).toBeNumber()
    expectTypeOf(producer.bufferedBytes).toBeNumber()
    expectTypeOf(producer.lastSuccessfulOffset).toEqualTypeOf<Offset | undefined>()
  })
})

describe("the errors", () => {
  it("are made as people make them", () => {
    expectTypeOf(new DurableStreamError("message", "NOT_FOUND", 404, {})).toExtend<Error>()
    expectTypeOf(
      new FetchError(404, "text", undefined, {}, "https://h/s"),
    ).toExtend<DurableStreamError>()
    expectTypeOf(new StreamClosedError("https://h/s", "5").finalOffset).toEqualTypeOf<
      Offset | undefined
    >()
    expectTypeOf(new StaleEpochError(3).currentEpoch).toBeNumber()
    expectTypeOf(new SequenceGapError(1, 2).expectedSeq).toBeNumber()
    expectTypeOf(
      FetchError.fromResponse(new Response(), "https://h/s"),
    ).resolves.toEqualTypeOf<FetchError>()
    expectTypeOf(
      DurableStreamError.fromResponse(new Response(), "https://h/s"),
    ).resolves.toEqualTypeOf<DurableStreamError>()
  })
})
