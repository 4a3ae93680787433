import { stream, type Offset, type StreamResponse } from "../../src/index.ts"
import type { LockEntry } from "./content.ts"
import { paint } from "./screen.ts"

/** What one reader has received. */
export interface Reader {
  readonly name: string
  readonly received: string[]
  sawEof: boolean
  worstLagMs: number
  cuts: number
}

/** When each message was written, so that a reader can tell how late it came. */
export type WrittenAt = ReadonlyMap<string, number>

/** What a reader is to do. */
export interface ReaderTask {
  readonly name: string
  readonly url: string
  readonly live: "sse" | "long-poll"
  readonly writtenAt: WrittenAt
  /** After so many messages the reader is cut off, and starts again from the offset that it saved. */
  readonly cutAfter?: number
}

/** Tails a stream to its end, through a cut if it is to have one. */
export async function read(task: ReaderTask): Promise<Reader> {
  const reader: Reader = { name: task.name, received: [], sawEof: false, worstLagMs: 0, cuts: 0 }
  let savedOffset: Offset = "-1"
  while (!reader.sawEof) {
    const cut = new AbortController()
    try {
      const response = await stream<LockEntry>({
        url: task.url,
        live: task.live,
        offset: savedOffset,
        signal: cut.signal,
      })
      for await (const batch of batches(response)) {
        // The work and the offset belong together: what is saved is what a resume starts behind.
        reader.received.push(...batch.messages)
        savedOffset = batch.offset
        reader.sawEof = batch.streamClosed
        report(reader, task, batch)
        if (reader.cuts === 0 && reader.received.length >= (task.cutAfter ?? Infinity)) {
          reader.cuts++
          cut.abort(new Error("the train is in a tunnel"))
        }
      }
    } catch (error) {
      if (!cut.signal.aborted) throw error
      console.log(paint.note(`${task.name} is cut off; it resumes from ${savedOffset}`))
      await new Promise((resolve) => setTimeout(resolve, 250))
    }
  }
  return reader
}

interface Batch {
  readonly messages: string[]
  readonly offset: Offset
  readonly streamClosed: boolean
}

/** JSON messages by their number, text by its lines. */
async function* batches(response: StreamResponse<LockEntry>): AsyncGenerator<Batch> {
  if (response.contentType === "application/json") {
    for await (const { items, ...place } of response.jsonBatches()) {
      yield { messages: items.map((item) => JSON.stringify(item)), ...place }
    }
    return
  }
  for await (const { text, ...place } of response.textChunks()) {
    yield { messages: text.match(/.*\n/g) ?? [], ...place }
  }
}

function report(reader: Reader, task: ReaderTask, { messages, offset, streamClosed }: Batch): void {
  const writtenAt = task.writtenAt.get(messages.at(-1) ?? "")
  const lagMs = writtenAt === undefined ? undefined : Math.round(performance.now() - writtenAt)
  reader.worstLagMs = Math.max(reader.worstLagMs, lagMs ?? 0)
  const count = `${messages.length} message${messages.length === 1 ? "" : "s"}`
  console.log(
    [
      paint.bold(task.name.padEnd(10)),
      task.live.padEnd(9),
      paint.dim(offset),
      count.padStart(12),
      lagMs === undefined ? "" : `${lagMs} ms behind`,
      streamClosed ? paint.good("EOF") : "",
    ].join("  "),
  )
}
