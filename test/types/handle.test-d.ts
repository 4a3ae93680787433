import { describe, expectTypeOf, it } from "vitest"
import {
  DurableStream,
  FetchError,
  StreamClosedError,
  type AppendOptions,
  type AppendResult,
  type CloseOptions,
  type CloseResult,
  type CreateOptions,
  type DurableStreamErrorCode,
  type DurableStreamOptions,
  type HeadResult,
  type Offset,
  type StreamHandleOptions,
  type StreamResponse,
} from "../../src/index.ts"

declare const handle: DurableStream

describe("making a handle", () => {
  it("takes every option, and needs the url only", () => {
    expectTypeOf<{ url: string }>().toExtend<DurableStreamOptions>()
    expectTypeOf<{ url: URL }>().toExtend<DurableStreamOptions>()
    expectTypeOf<object>().not.toExtend<DurableStreamOptions>()
    expectTypeOf(DurableStream).toBeConstructibleWith({
      url: "https://h/s",
      headers: { a: "1", b: () => "2", c: () => Promise.resolve("3"), d: async () => "4" },
      params: { a: "1", b: undefined, c: () => undefined, d: async () => "4" },
      fetch: globalThis.fetch,
      signal: new AbortController().signal,
      contentType: "application/json",
      onError: (error) => {
        expectTypeOf(error).toExtend<Error>()
        return error.code === "UNAUTHORIZED" ? { headers: { a: "2" } } : undefined
      },
      batching: false,
      backoffOptions: { initialDelay: 1, maxDelay: 2, multiplier: 1, maxRetries: Infinity },
      warnOnHttp: false,
      requestTimeoutMs: 1000,
    })
    expectTypeOf<CreateOptions>().toExtend<DurableStreamOptions>()
    expectTypeOf<DurableStreamOptions>().toExtend<StreamHandleOptions>()
    expectTypeOf<{
      url: string
      contentType: string
      batching: boolean
    }>().toExtend<StreamHandleOptions>()
    // Every option can be undefined, whatever exactOptionalPropertyTypes says.
    expectTypeOf(DurableStream).toBeConstructibleWith({
      url: "https://h/s",
      contentType: undefined,
      onError: undefined,
      batching: undefined,
      warnOnHttp: undefined,
    })
    expectTypeOf(handle.append).toBeCallableWith("x", { seq: undefined, signal: undefined })
    class Notes extends DurableStream {
      override contentType = "text/markdown"
    }
    expectTypeOf(new Notes({ url: "https://h/s" }).contentType).toEqualTypeOf<string>()
    handle.contentType = undefined
    // @ts-expect-error -- a number is no header
    new DurableStream({ url: "https://h/s", headers: { a: 1 } })
    // @ts-expect-error -- neither a string nor a URL
    new DurableStream({ url: 1 })
  })

  it("gives handles", () => {
    expectTypeOf(DurableStream.create).parameter(0).toEqualTypeOf<CreateOptions>()
    expectTypeOf(DurableStream.create).returns.resolves.toEqualTypeOf<DurableStream>()
    expectTypeOf(DurableStream.connect).returns.resolves.toEqualTypeOf<DurableStream>()
    expectTypeOf(DurableStream.head).returns.resolves.toEqualTypeOf<HeadResult>()
    expectTypeOf(DurableStream.delete).returns.resolves.toBeVoid()
    expectTypeOf(handle.url).toEqualTypeOf<string>()
    expectTypeOf(handle.contentType).toEqualTypeOf<string | undefined>()
    expectTypeOf<CreateOptions["body"]>().toBeUnknown()
    expectTypeOf<CreateOptions["ttlSeconds"]>().toEqualTypeOf<number | undefined>()
    expectTypeOf<CreateOptions["expiresAt"]>().toEqualTypeOf<string | undefined>()
    expectTypeOf<CreateOptions["closed"]>().toEqualTypeOf<boolean | undefined>()
    // @ts-expect-error -- it can be read only
    handle.url = "https://h/other"
  })
})

describe("the methods of a handle", () => {
  it("append", () => {
    for (const body of ["x", new Uint8Array(), { a: 1 }, [1], null, 1, Promise.resolve("x")]) {
      expectTypeOf(handle.append).toBeCallableWith(body)
    }
    const message: { id: number; tags?: string[] } = { id: 1 }
    expectTypeOf(handle.append).toBeCallableWith(message)
    expectTypeOf(handle.append).toBeCallableWith("x", {
      seq: "1",
      contentType: "text/plain",
      signal: new AbortController().signal,
      producerId: "p",
      producerEpoch: 0,
      producerSeq: 0,
    })
    expectTypeOf(handle.append).parameter(1).toEqualTypeOf<AppendOptions | undefined>()
    expectTypeOf(handle.append).returns.toEqualTypeOf<Promise<void>>()
    // Programs of 0.2.x keep its promises.
    const pending: Promise<void>[] = [handle.append("x")]
    expectTypeOf(pending).toExtend<Promise<void>[]>()
    // @ts-expect-error -- no such option
    void handle.append("x", { sequence: "1" })
  })

  it("appendWithResult", () => {
    expectTypeOf(handle.appendWithResult).toBeCallableWith({ a: 1 })
    expectTypeOf(handle.appendWithResult).toBeCallableWith("x", {
      expectedOffset: "5",
      close: true,
      seq: "1",
    })
    expectTypeOf(handle.appendWithResult).returns.resolves.toEqualTypeOf<AppendResult>()
    const result = {} as AppendResult
    switch (result.kind) {
      case "ok":
        expectTypeOf(result.deduped).toEqualTypeOf<boolean>()
        expectTypeOf(result.nextOffset).toEqualTypeOf<Offset | undefined>()
        expectTypeOf(result.closed).toEqualTypeOf<boolean | undefined>()
        break
      case "seq-conflict":
        expectTypeOf(result.conflict).toEqualTypeOf<"seq" | "expected-offset" | "unknown">()
        break
      case "closed":
        expectTypeOf(result.nextOffset).toEqualTypeOf<Offset | undefined>()
        break
      case "stale-epoch":
        expectTypeOf(result.currentEpoch).toEqualTypeOf<number>()
        break
      case "producer-gap":
        expectTypeOf(result.expectedSeq).toEqualTypeOf<number>()
        expectTypeOf(result.receivedSeq).toEqualTypeOf<number>()
        break
      default:
        expectTypeOf(result).toBeNever()
    }
  })

  it("appendStream and writable", () => {
    expectTypeOf(handle.appendStream).toBeCallableWith(new ReadableStream<Uint8Array>())
    expectTypeOf(handle.appendStream).toBeCallableWith(new ReadableStream<string>())
    expectTypeOf(handle.appendStream).toBeCallableWith(new Blob().stream())
    const iterable = (async function* () {
      yield "x"
      yield new Uint8Array()
    })()
    expectTypeOf(handle.appendStream).toBeCallableWith(iterable, { contentType: "text/plain" })
    expectTypeOf(handle.appendStream).returns.toEqualTypeOf<Promise<void>>()
    expectTypeOf(handle.writable).returns.toEqualTypeOf<WritableStream<Uint8Array | string>>()
    expectTypeOf(handle.writable).toBeCallableWith({ producerId: "p", lingerMs: 1, maxInFlight: 2 })
    expectTypeOf(new Blob().stream().pipeTo(handle.writable())).resolves.toBeVoid()
  })

  it("create, head, delete, close, fork", () => {
    expectTypeOf(handle.create()).resolves.toEqualTypeOf<DurableStream>()
    expectTypeOf(handle.create).toBeCallableWith({ contentType: "text/plain", ttlSeconds: 60 })
    expectTypeOf(handle.head).toBeCallableWith({ signal: new AbortController().signal })
    expectTypeOf(handle.head).returns.resolves.toEqualTypeOf<HeadResult>()
    expectTypeOf(handle.delete).returns.resolves.toBeVoid()
    expectTypeOf(handle.close).parameter(0).toEqualTypeOf<CloseOptions | undefined>()
    expectTypeOf(handle.close).toBeCallableWith({ body: { last: 1 }, contentType: "a/b" })
    expectTypeOf(handle.close).returns.resolves.toEqualTypeOf<CloseResult>()
    expectTypeOf<CloseResult>().toEqualTypeOf<{ finalOffset: Offset }>()
    expectTypeOf(handle.fork).toBeCallableWith({
      url: "/fork",
      offset: "1",
      subOffset: 1,
      ttlSeconds: 60,
      headers: { a: "1" },
    })
    expectTypeOf(handle.fork).returns.resolves.toEqualTypeOf<DurableStream>()
    // @ts-expect-error -- a fork needs a url
    void handle.fork({})
  })

  it("tell a stream that is there from one that is not", () => {
    const head = {} as HeadResult
    if (head.exists) {
      expectTypeOf(head.streamClosed).toEqualTypeOf<boolean>()
      expectTypeOf(head.ttlSeconds).toEqualTypeOf<number | undefined>()
      expectTypeOf(head.expiresAt).toEqualTypeOf<string | undefined>()
    }
    // What is not asked for first can be read all the same.
    expectTypeOf(head.offset).toEqualTypeOf<Offset | undefined>()
    expectTypeOf(head.contentType).toEqualTypeOf<string | undefined>()
    expectTypeOf(head.etag).toEqualTypeOf<string | undefined>()
    expectTypeOf(head.cacheControl).toEqualTypeOf<string | undefined>()
  })

  it("stream", () => {
    expectTypeOf(handle.stream()).resolves.toEqualTypeOf<StreamResponse>()
    expectTypeOf(handle.stream<{ a: 1 }>({ offset: "-1", live: "sse" })).resolves.toEqualTypeOf<
      StreamResponse<{ a: 1 }>
    >()
    // @ts-expect-error -- no such mode
    void handle.stream({ live: "polling" })
  })
})

describe("errors", () => {
  it("say what happened", () => {
    const closed = new StreamClosedError("https://h/s", "9")
    expectTypeOf(closed.finalOffset).toEqualTypeOf<Offset | undefined>()
    expectTypeOf<StreamClosedError["code"]>().toEqualTypeOf<"STREAM_CLOSED">()
    const failure = new FetchError(500, "text", undefined, {}, "https://h/s")
    expectTypeOf(failure.status).toEqualTypeOf<number>()
    expectTypeOf(failure.code).toEqualTypeOf<DurableStreamErrorCode>()
    expectTypeOf(failure.indeterminate).toEqualTypeOf<boolean>()
  })
})
