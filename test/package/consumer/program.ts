import {
  DurableStream,
  FetchError,
  IdempotentProducer,
  STREAM_OFFSET_HEADER,
  StreamClosedError,
  stream,
  type HeadersRecord,
  type JsonBatch,
  type Offset,
  type StreamOptions,
  type StreamResponse,
} from "@durable-streams/client"
import type { DurableStreamView, StreamWriter } from "@durable-streams/client/react"
import { createStreamStore, type StreamPersistence } from "@durable-streams/client/store"

interface Message {
  id: number
}

export const header: string = STREAM_OFFSET_HEADER

export async function read(url: string, more: Partial<StreamOptions> = {}): Promise<Offset> {
  const headers: HeadersRecord = { authorization: async () => "Bearer token", accept: "*/*" }
  const response: StreamResponse<Message> = await stream<Message>({
    ...more,
    url,
    headers,
    live: "sse",
  })
  const reader: ReadableStreamDefaultReader<Message> = response.jsonStream().getReader()
  await reader.cancel()
  for await (const message of response.jsonStream()) {
    const id: number = message.id
    // @ts-expect-error -- a message is what the caller said it is, not any
    const wrong: string = message.id
    if (id > Number(wrong)) break
  }
  for await (const chunk of response.bodyStream()) {
    const bytes: Uint8Array = chunk
    if (bytes.byteLength > 0) break
  }
  const unsubscribe: () => void = response.subscribeJson(async (batch: JsonBatch<Message>) => {
    await Promise.resolve(batch.items.length)
  })
  unsubscribe()
  const status: number = response.status
  const contentType: string | undefined = response.contentType
  // @ts-expect-error -- an offset is a string
  const offset: number = response.offset
  return status === 200 && contentType !== undefined ? String(offset) : response.offset
}

export async function write(url: string, signal: AbortSignal): Promise<string> {
  const handle = await DurableStream.create({ url, signal, contentType: "application/json" })
  await handle.append({ id: 1 })
  const { offset = "" } = await handle.head()
  await handle.appendStream(new ReadableStream<Uint8Array>())
  const sink: WritableStream<Uint8Array | string> = handle.writable()
  await sink.abort()
  const producer = new IdempotentProducer(handle, "worker", { lingerMs: 10 })
  producer.append({ id: 2 })
  await producer.flush()
  await producer[Symbol.asyncDispose]()
  const { finalOffset } = await handle.close()
  return finalOffset
}

export function explain(error: unknown): string {
  if (error instanceof StreamClosedError) return String(error.finalOffset)
  if (error instanceof FetchError) return `${error.status} ${error.code} ${error.headers["etag"]}`
  return "unknown"
}

export async function withOwnFetch(url: string): Promise<boolean> {
  const mock: typeof globalThis.fetch = async () => new Response("[]")
  const response = await stream({ url, fetch: mock })
  return response.ok
}

export function view(url: string, persist: StreamPersistence): () => readonly number[] {
  const store = createStreamStore({
    url,
    persist,
    initial: [] as readonly number[],
    reduce: (ids, message: Message) => [...ids, message.id],
  })
  store.subscribe((ids) => ids.length)
  return store.getSnapshot
}

export function show(
  { data, status }: DurableStreamView<number>,
  { append }: StreamWriter,
): string {
  void append({ id: data })
  return status
}
