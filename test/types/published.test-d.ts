import { describe, expectTypeOf, it } from "vitest"
// The published client: a program that compiles with it has to compile with this one.
import type * as published from "../../node_modules/@durable-streams/client/dist/index.js"
import type * as ours from "../../src/index.ts"

declare const handle: ours.DurableStream
declare const oursValues: typeof ours

/** The members that may be missing but may not be given as `undefined`. */
type WithoutUndefined<T> = {
  [K in keyof T]-?: object extends Pick<T, K>
    ? { [P in K]: undefined } extends Pick<T, K>
      ? never
      : K
    : never
}[keyof T]

/** The members that may be given as `undefined`, or are `undefined` rather than missing. */
type WithUndefined<T> = {
  [K in keyof T]-?: { [P in K]: undefined } extends Pick<T, K> ? K : never
}[keyof T]

/* eslint-disable @typescript-eslint/no-unnecessary-type-parameters -- only so does the compiler compare `readonly` */
type IsEqual<A, B> =
  (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
/* eslint-enable @typescript-eslint/no-unnecessary-type-parameters */

/** The members that a program may not assign. */
type Readonlys<T> = {
  [K in keyof T]-?: IsEqual<Pick<T, K>, Readonly<Pick<T, K>>> extends true ? K : never
}[keyof T]

describe("options", () => {
  it("take what the published client's options take", () => {
    expectTypeOf<published.StreamOptions>().toExtend<ours.StreamOptions>()
    expectTypeOf<published.StreamHandleOptions>().toExtend<ours.StreamHandleOptions>()
    expectTypeOf<published.DurableStreamOptions>().toExtend<ours.DurableStreamOptions>()
    expectTypeOf<published.CreateOptions>().toExtend<ours.CreateOptions>()
    expectTypeOf<published.AppendOptions>().toExtend<ours.AppendOptions>()
    expectTypeOf<published.CloseOptions>().toExtend<ours.CloseOptions>()
    expectTypeOf<published.ReadOptions>().toExtend<ours.ReadOptions>()
    expectTypeOf<published.RetryOpts>().toExtend<ours.RetryOpts>()
    expectTypeOf<published.BackoffOptions>().toExtend<ours.BackoffOptions>()
    expectTypeOf<published.SSEResilienceOptions>().toExtend<ours.SSEResilienceOptions>()
    expectTypeOf<published.IdempotentProducerOptions>().toExtend<ours.IdempotentProducerOptions>()
    expectTypeOf<published.HeadersRecord>().toExtend<ours.HeadersRecord>()
    expectTypeOf<published.ParamsRecord>().toExtend<ours.ParamsRecord>()
  })

  it("have every member that the published client's options have", () => {
    expectTypeOf<keyof published.StreamOptions>().toExtend<keyof ours.StreamOptions>()
    expectTypeOf<keyof published.StreamHandleOptions>().toExtend<keyof ours.StreamHandleOptions>()
    expectTypeOf<keyof published.DurableStreamOptions>().toExtend<keyof ours.DurableStreamOptions>()
    expectTypeOf<keyof published.CreateOptions>().toExtend<keyof ours.CreateOptions>()
    expectTypeOf<keyof published.AppendOptions>().toExtend<keyof ours.AppendOptions>()
    expectTypeOf<keyof published.ReadOptions>().toExtend<keyof ours.ReadOptions>()
    expectTypeOf<keyof published.IdempotentProducerOptions>().toExtend<
      keyof ours.IdempotentProducerOptions
    >()
  })

  it("may all be given as undefined, as exactOptionalPropertyTypes asks for", () => {
    expectTypeOf<WithoutUndefined<ours.StreamOptions>>().toBeNever()
    expectTypeOf<WithoutUndefined<ours.StreamHandleOptions>>().toBeNever()
    expectTypeOf<WithoutUndefined<ours.DurableStreamOptions>>().toBeNever()
    expectTypeOf<WithoutUndefined<ours.CreateOptions>>().toBeNever()
    expectTypeOf<WithoutUndefined<ours.AppendOptions>>().toBeNever()
    expectTypeOf<WithoutUndefined<ours.CloseOptions>>().toBeNever()
    expectTypeOf<WithoutUndefined<ours.ReadOptions>>().toBeNever()
    expectTypeOf<WithoutUndefined<ours.RetryOpts>>().toBeNever()
    expectTypeOf<WithoutUndefined<ours.BackoffOptions>>().toBeNever()
    expectTypeOf<WithoutUndefined<ours.SSEResilienceOptions>>().toBeNever()
    expectTypeOf<WithoutUndefined<ours.IdempotentProducerOptions>>().toBeNever()
    expectTypeOf<WithoutUndefined<ours.WritableOptions>>().toBeNever()
    expectTypeOf<WithoutUndefined<ours.ForkOptions>>().toBeNever()
    expectTypeOf<WithoutUndefined<ours.CallOptions>>().toBeNever()
    expectTypeOf<WithoutUndefined<ours.StreamCallOptions>>().toBeNever()
    expectTypeOf<WithoutUndefined<ours.CreateCallOptions>>().toBeNever()
  })

  it("leave the fields of BackoffDefaults and BackoffOptions what they were", () => {
    expectTypeOf(oursValues.BackoffDefaults).toEqualTypeOf<ours.BackoffOptions>()
    expectTypeOf(oursValues.BackoffDefaults.initialDelay).toEqualTypeOf<number>()
    expectTypeOf(oursValues.BackoffDefaults.maxDelay).toEqualTypeOf<number>()
    expectTypeOf(oursValues.BackoffDefaults.multiplier).toEqualTypeOf<number>()
    expectTypeOf<{ backoffOptions: { maxRetries: number } }>().toExtend<
      Pick<ours.StreamOptions, "backoffOptions">
    >()
  })
})

describe("results", () => {
  it("are what a program of the published client takes", () => {
    expectTypeOf<ours.HeadResult>().toExtend<published.HeadResult>()
    expectTypeOf<ours.CloseResult>().toExtend<published.CloseResult>()
    expectTypeOf<ours.JsonBatch>().toExtend<published.JsonBatch>()
    expectTypeOf<ours.JsonBatchMeta>().toExtend<published.JsonBatchMeta>()
    expectTypeOf<ours.ByteChunk>().toExtend<published.ByteChunk>()
    expectTypeOf<ours.TextChunk>().toExtend<published.TextChunk>()
    expectTypeOf<ours.IdempotentAppendResult>().toExtend<published.IdempotentAppendResult>()
    expectTypeOf<ours.LiveMode>().toEqualTypeOf<published.LiveMode>()
    expectTypeOf<published.DurableStreamErrorCode>().toExtend<ours.DurableStreamErrorCode>()
    expectTypeOf<keyof published.StreamResponse>().toExtend<keyof ours.StreamResponse>()
    expectTypeOf<keyof published.IdempotentProducer>().toExtend<keyof ours.IdempotentProducer>()
  })

  it("can be made and changed by a program: its mocks, its wrappers", () => {
    expectTypeOf<Omit<published.JsonBatch, "items">>().toExtend<ours.JsonBatchMeta>()
    expectTypeOf<published.ByteChunk>().toExtend<ours.ByteChunk>()
    expectTypeOf<published.TextChunk>().toExtend<ours.TextChunk>()
    expectTypeOf<Readonlys<ours.JsonBatch>>().toBeNever()
    expectTypeOf<Readonlys<ours.ByteChunk>>().toBeNever()
    expectTypeOf<Readonlys<ours.TextChunk>>().toBeNever()
    expectTypeOf<Readonlys<ours.DurableStreamError>>().toBeNever()
    expectTypeOf<Readonlys<Pick<ours.FetchError, keyof published.FetchError>>>().toBeNever()
  })

  it("have no cursor rather than one that is undefined", () => {
    expectTypeOf<WithUndefined<Pick<ours.JsonBatch, "cursor">>>().toBeNever()
    expectTypeOf<WithUndefined<Pick<ours.ByteChunk, "cursor">>>().toBeNever()
    expectTypeOf<WithUndefined<Pick<ours.TextChunk, "cursor">>>().toBeNever()
  })
})

describe("functions", () => {
  it("append and appendStream resolve with nothing", () => {
    expectTypeOf(handle.append("x")).toEqualTypeOf<Promise<void>>()
    expectTypeOf(handle.appendStream(new ReadableStream<string>())).toEqualTypeOf<Promise<void>>()
  })

  it("take and give what they did", () => {
    expectTypeOf<typeof ours.stream>().toExtend<typeof published.stream>()
    expectTypeOf(oursValues.DURABLE_STREAM_PROTOCOL_QUERY_PARAMS).toEqualTypeOf<string[]>()
    expectTypeOf<typeof ours.createFetchWithBackoff>().toExtend<
      typeof published.createFetchWithBackoff
    >()
    expectTypeOf<typeof ours.createFetchWithConsumedBody>().toExtend<
      typeof published.createFetchWithConsumedBody
    >()
    expectTypeOf<ConstructorParameters<typeof published.IdempotentProducer>[2]>().toExtend<
      ConstructorParameters<typeof ours.IdempotentProducer>[2]
    >()
    expectTypeOf<ConstructorParameters<typeof published.FetchError>>().toExtend<
      ConstructorParameters<typeof ours.FetchError>
    >()
  })

  it("let a subclass of the handle set its content type", () => {
    class Chat extends oursValues.DurableStream {
      override contentType = "application/json"
    }
    expectTypeOf<Chat["contentType"]>().toEqualTypeOf<string>()
    handle.contentType = "text/plain"
  })
})
