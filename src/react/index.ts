export { useDurableStream } from "./use-durable-stream.ts"
export type { DurableStreamView, UseDurableStreamOptions } from "./use-durable-stream.ts"
export { useStreamWriter } from "./use-stream-writer.ts"
export type { StreamWriter, UseStreamWriterOptions } from "./use-stream-writer.ts"
