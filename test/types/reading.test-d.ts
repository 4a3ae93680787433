import { describe, expectTypeOf, it } from "vitest"
import {
  DurableStream,
  stream,
  subscribe,
  type ByteChunk,
  type ConnectionState,
  type JsonBatch,
  type LiveMode,
  type Offset,
  type ReadableStreamAsyncIterable,
  type ReadOptions,
  type RetryOpts,
  type SSEResilienceOptions,
  type StreamBatch,
  type StreamErrorHandler,
  type StreamEvent,
  type StreamOptions,
  type StreamResponse,
  type TextChunk,
  type VisibilitySource,
} from "../../src/index.ts"

interface Message {
  id: number
  text: string
}

declare const response: StreamResponse<Message>
declare const untyped: StreamResponse

describe("what a read is asked for", () => {
  it("needs a url, a string or a URL, and nothing else", () => {
    expectTypeOf<{ url: string }>().toExtend<StreamOptions>()
    expectTypeOf<{ url: URL }>().toExtend<StreamOptions>()
    expectTypeOf<{ offset: Offset }>().not.toExtend<StreamOptions>()
  })

  it("takes undefined for every option, and a stored cursor", () => {
    type Optional = Partial<Record<keyof Omit<StreamOptions, "url">, undefined>>
    expectTypeOf<Optional & { url: string }>().toExtend<StreamOptions>()
    expectTypeOf<Record<keyof SSEResilienceOptions, undefined>>().toExtend<SSEResilienceOptions>()
    expectTypeOf<Record<keyof RetryOpts, undefined>>().toExtend<RetryOpts>()
    expectTypeOf<{ offset: string; cursor: string }>().toExtend<ReadOptions>()
  })

  it("takes the live modes that there are", () => {
    expectTypeOf<LiveMode>().toEqualTypeOf<boolean | "long-poll" | "sse">()
    expectTypeOf<{ url: string; live: "websocket" }>().not.toExtend<StreamOptions>()
  })

  it("takes headers and params as values and functions, sync and async, params undefined too", () => {
    const options = {
      url: "https://streams.example.com/s",
      headers: { a: "1", b: () => "2", c: async () => "3" },
      params: { a: "1", b: undefined, c: () => "2", d: async () => undefined },
    }
    expectTypeOf(options).toExtend<StreamOptions>()
    expectTypeOf<{ url: string; headers: { a: number } }>().not.toExtend<StreamOptions>()
  })

  it("takes error handlers of every shape", () => {
    expectTypeOf<() => void>().toExtend<StreamErrorHandler>()
    expectTypeOf<() => Promise<void>>().toExtend<StreamErrorHandler>()
    expectTypeOf<() => RetryOpts>().toExtend<StreamErrorHandler>()
    expectTypeOf<() => Promise<RetryOpts | undefined>>().toExtend<StreamErrorHandler>()
    expectTypeOf<(error: Error) => RetryOpts | undefined>().toExtend<StreamErrorHandler>()
    expectTypeOf<Parameters<StreamErrorHandler>[0]>().toHaveProperty("status")
    expectTypeOf<Parameters<StreamErrorHandler>[0]>().toHaveProperty("code")
  })

  it("takes a visibility of one's own", () => {
    const visibility = { hidden: false, subscribe: (_onChange: () => void) => () => undefined }
    expectTypeOf(visibility).toExtend<VisibilitySource>()
    expectTypeOf<{ url: string; pauseWhenHidden: typeof visibility }>().toExtend<StreamOptions>()
    expectTypeOf<{ url: string; pauseWhenHidden: false }>().toExtend<StreamOptions>()
  })

  it("has a connection state that can be taken apart", () => {
    expectTypeOf<StreamResponse["state"]>().toEqualTypeOf<ConnectionState>()
    expectTypeOf(inWords).returns.toBeString()
  })

  it("tells an observer a union that can be taken apart", () => {
    const observe = (event: StreamEvent): string => {
      switch (event.kind) {
        case "request":
          return `${event.transport} ${event.offset} ${event.attempt.toFixed()}`
        case "response":
          return `${event.status.toFixed()} ${event.durationMs.toFixed()}`
        case "retry":
          return `${event.delayMs.toFixed()} ${event.error.message}`
        case "transport":
          return `${event.from} ${event.to} ${event.reason ?? ""}`
        case "offset-mismatch":
          return `${event.offset} ${event.nextOffset}`
        case "pause":
        case "resume":
          return event.reason
        case "end":
          return event.reason
        case "state":
          return inWords(event.state)
      }
    }
    expectTypeOf({ url: "", observe }).toExtend<StreamOptions>()
  })
})

describe("what a read gives", () => {
  it("messages of the type that was named, unknown where none was", () => {
    expectTypeOf(stream<Message>).returns.resolves.toEqualTypeOf<StreamResponse<Message>>()
    expectTypeOf(stream({ url: "" })).resolves.toEqualTypeOf<StreamResponse>()
    expectTypeOf(response.json()).resolves.toEqualTypeOf<Message[]>()
    expectTypeOf(untyped.json()).resolves.toEqualTypeOf<unknown[]>()
    expectTypeOf(untyped.json<Message>()).resolves.toEqualTypeOf<Message[]>()
    expectTypeOf(DurableStream.prototype.stream<Message>).returns.resolves.toEqualTypeOf<
      StreamResponse<Message>
    >()
  })

  it("streams that are both ReadableStreams and async iterables", () => {
    expectTypeOf(response.jsonStream()).toEqualTypeOf<ReadableStreamAsyncIterable<Message>>()
    expectTypeOf(response.jsonStream()).toExtend<ReadableStream<Message>>()
    expectTypeOf(response.bodyStream()).toExtend<AsyncIterable<Uint8Array>>()
    expectTypeOf(response.textStream()).toExtend<ReadableStream<string>>()
    expectTypeOf(response.body()).resolves.toEqualTypeOf<Uint8Array>()
    expectTypeOf(response.text()).resolves.toEqualTypeOf<string>()
  })

  it("subscriptions whose callbacks may be sync or async, and that can be ended", () => {
    expectTypeOf(response.subscribeJson((batch) => batch.items[0]?.text)).toEqualTypeOf<
      () => void
    >()
    expectTypeOf(response.subscribeBytes(async ({ data }) => data)).toEqualTypeOf<() => void>()
    response.subscribeText(async ({ text, offset }) => {
      expectTypeOf(text).toBeString()
      expectTypeOf(offset).toEqualTypeOf<Offset>()
      await Promise.resolve()
    })
    untyped.subscribeJson<Message>(({ items }) => {
      expectTypeOf(items).toEqualTypeOf<Message[]>()
    })
  })

  it("the same batches to loops over the response, by content type", async () => {
    for await (const batch of response) {
      expectTypeOf(batch).toEqualTypeOf<StreamBatch<Message>>()
      if ("items" in batch) expectTypeOf(batch.items).toEqualTypeOf<Message[]>()
      else if ("text" in batch) expectTypeOf(batch.text).toBeString()
      else expectTypeOf(batch.data).toEqualTypeOf<Uint8Array>()
    }
    subscribe<Message>({ url: "" }, { onBatch: async (batch) => batch.offset })
  })

  it("batches that may be changed, and results without undefined", () => {
    const batch: JsonBatch<number> = { items: [], offset: "1", upToDate: true, streamClosed: false }
    batch.items = [1]
    batch.offset = "2"
    expectTypeOf<{ cursor: undefined }>().not.toExtend<Pick<JsonBatch, "cursor">>()
    expectTypeOf<{ cursor: undefined }>().not.toExtend<Pick<StreamResponse, "cursor">>()
  })

  it("the same batches to loops", async () => {
    expectTypeOf(response.jsonBatches()).toExtend<AsyncIterable<JsonBatch<Message>>>()
    expectTypeOf(response.byteChunks()).toExtend<AsyncIterable<ByteChunk>>()
    expectTypeOf(response.textChunks()).toExtend<AsyncIterable<TextChunk>>()
    expectTypeOf<JsonBatch["cursor"]>().toEqualTypeOf<string | undefined>()
  })

  it("an end: closed, cancel, await using", () => {
    expectTypeOf(response.closed).toEqualTypeOf<Promise<void>>()
    expectTypeOf(response.cancel).toBeCallableWith()
    expectTypeOf(response.cancel).toBeCallableWith("enough")
    expectTypeOf(response).toExtend<AsyncDisposable>()
  })
})

/** Every kind of connection state. */
function inWords(state: ConnectionState): string {
  switch (state.kind) {
    case "connecting":
    case "catching-up":
    case "offline":
      return state.kind
    case "live":
      return state.transport
    case "retrying":
      return `${state.error.message} ${state.attempt.toFixed()} ${new Date(state.retryAtMs).toISOString()}`
    case "paused":
    case "ended":
      return state.reason
  }
}
