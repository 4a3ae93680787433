import { isJsonContentType } from "../protocol/content-type.ts"
import { OutboxError } from "./outbox-error.ts"
import { operate, type StoredMessage, type StoreProgram } from "./outbox-store.ts"

/** Of the records below. Older code rejects a store with a higher one. */
export const FORMAT_VERSION = 1

/** What an outbox is, and where its numbers are. */
export interface OutboxRecord {
  readonly formatVersion: number
  readonly producerId: string
  /** The stream's URL without its query, which can hold a token. */
  readonly url: string
  readonly contentType: string
  /** The epoch of the batches that are sealed from now on, and the next number in it. */
  readonly epoch: number
  readonly nextSeq: number
  /** Batches have at most so many bytes: a larger one was rejected. It ends with the next acknowledgement, unless it is the server's. */
  readonly limit?: { readonly bytes: number; readonly isServers: boolean }
  readonly failure?: OutboxFailure
  /** The closing batch was acknowledged: nothing is left to do. */
  readonly isClosed?: boolean
}

/** Why delivery stopped until the program decides about the sealed batch. */
export interface OutboxFailure {
  /** The batch's number. */
  readonly epoch: number
  readonly seq: number
  readonly code: string
  readonly message: string
  /** Whether the sealed batch may be in the stream. */
  readonly indeterminate: boolean
  /** The epoch that fenced this outbox. */
  readonly currentEpoch?: number
}

/** The one batch that is sealed: its number and its bytes never change. */
export interface SealedBatch {
  readonly epoch: number
  readonly seq: number
  readonly closesStream: boolean
  /** Its messages: the ids under which they go back to the queue, and where each ends in the body. */
  readonly ids: readonly number[]
  readonly ends: readonly number[]
  /** Requests that carried it and have no recorded outcome: they are under way, or their opener died. */
  readonly openAttempts: readonly Attempt[]
  /** When the first and the last request was sent whose outcome is unknown; missing if every outcome is known. */
  readonly unknown?: { readonly firstMs: number; readonly lastMs: number }
  readonly body: Uint8Array
}

/** One request that carried the batch. */
export interface Attempt {
  readonly id: string
  readonly opener: string
  /** The store's clock when it was recorded: before the request was sent. */
  readonly atMs: number
}

const OUTBOX_KEY = "outbox"
const BATCH_KEY = "batch"
const CLOSING_KEY = "closing"

/** @throws OutboxError if newer code wrote it */
export function* readOutbox(lock?: "update"): StoreProgram<OutboxRecord | undefined> {
  const record = yield* operate({ kind: "get", key: OUTBOX_KEY, ...(lock && { lock }) })
  if (record === undefined) return undefined
  // Only this module writes it, or newer code, whose first field is the same.
  const outbox = JSON.parse(record.json) as OutboxRecord
  if (outbox.formatVersion <= FORMAT_VERSION) return outbox
  throw new OutboxError(
    `The outbox was written by newer code (format ${outbox.formatVersion}, this is ${FORMAT_VERSION}). Update @durable-streams/client.`,
    "BAD_REQUEST",
  )
}

/** @throws OutboxError if it is gone, or if newer code wrote it */
export function* readOpened(lock?: "update"): StoreProgram<OutboxRecord> {
  const outbox = yield* readOutbox(lock)
  if (outbox !== undefined) return outbox
  throw new OutboxError("The outbox was deleted from its store. Open it again.", "NOT_FOUND")
}

/** Stores the outbox. Only a transaction that has locked it may. */
export function* writeOutbox(outbox: OutboxRecord): StoreProgram<void> {
  yield* operate({ kind: "put", key: OUTBOX_KEY, record: { json: JSON.stringify(outbox) } })
}

/** The sealed batch. */
export function* readBatch(): StoreProgram<SealedBatch | undefined> {
  const record = yield* operate({ kind: "get", key: BATCH_KEY })
  if (record === undefined) return undefined
  // Only this module writes it.
  const fields = JSON.parse(record.json) as Omit<SealedBatch, "body">
  return { ...fields, body: record.bytes ?? new Uint8Array() }
}

/** Stores the sealed batch. */
export function* writeBatch({ body, ...fields }: SealedBatch): StoreProgram<void> {
  const record = { json: JSON.stringify(fields), bytes: body }
  yield* operate({ kind: "put", key: BATCH_KEY, record })
}

/** Deletes the sealed batch: it was acknowledged, or the program skips it. */
export function* deleteBatch(): StoreProgram<void> {
  yield* operate({ kind: "delete", key: BATCH_KEY })
}

/** Puts the messages of the sealed batch back to the front of the queue. */
export function* unsealBatch(batch: SealedBatch, contentType: string): StoreProgram<void> {
  for (const message of messagesOf(batch, contentType)) {
    yield* operate({ kind: "enqueue", ...message })
  }
  yield* deleteBatch()
}

/** Whether nothing can be appended any more. `share` makes a `close` wait for the end of this transaction. */
export function* readClosing(lock?: "share"): StoreProgram<boolean> {
  const record = yield* operate({ kind: "get", key: CLOSING_KEY, ...(lock && { lock }) })
  return record?.json === "true"
}

/**
 * Whether nothing can be appended any more. Written with the outbox, so that `share` has a record to lock; set once no transaction is
 * open that may append.
 */
export function* writeClosing(isClosing: boolean): StoreProgram<void> {
  yield* operate({ kind: "get", key: CLOSING_KEY, lock: "update" })
  yield* operate({ kind: "put", key: CLOSING_KEY, record: { json: String(isClosing) } })
}

/** Messages are read in steps, so that a long queue is not loaded for one batch. */
const PAGE_MESSAGES = 500

/** The first messages of the queue: up to a count, and up to a number of bytes except for the first. */
export function* firstMessages(maxCount: number, maxBytes: number): StoreProgram<StoredMessage[]> {
  const messages: StoredMessage[] = []
  let bytes = 0
  let afterId = -1
  for (;;) {
    const count = Math.min(maxCount - messages.length, PAGE_MESSAGES)
    const page = count > 0 ? yield* operate({ kind: "messages", afterId, maxCount: count }) : []
    for (const message of page) {
      bytes += message.bytes.byteLength
      if (messages.length > 0 && bytes > maxBytes) return messages
      messages.push(message)
      afterId = message.id
    }
    if (page.length < PAGE_MESSAGES) return messages
  }
}

const [OPEN, COMMA, CLOSE] = [0x5b, 0x2c, 0x5d]

/** Puts messages into one body: on a JSON stream into one array, which the server flattens. */
export function joinBody(
  messages: readonly StoredMessage[],
  contentType: string,
): Pick<SealedBatch, "ids" | "ends" | "body"> {
  const frame = frameOf(contentType)
  const size = messages.reduce((sum, { bytes }) => sum + bytes.byteLength + frame, 0)
  const body = new Uint8Array(messages.length === 0 ? 0 : size + frame)
  const ends: number[] = []
  let position = 0
  for (const { bytes } of messages) {
    if (frame > 0) body[position] = position === 0 ? OPEN : COMMA
    body.set(bytes, position + frame)
    position += frame + bytes.byteLength
    ends.push(position)
  }
  if (frame > 0) body[position] = CLOSE
  return { ids: messages.map(({ id }) => id), ends, body }
}

/** The messages of a batch. */
export function messagesOf(
  { ids, ends, body }: Pick<SealedBatch, "ids" | "ends" | "body">,
  contentType: string,
): StoredMessage[] {
  const frame = frameOf(contentType)
  return ids.map((id, index) => {
    const start = (ends[index - 1] ?? 0) + frame
    return { id, bytes: body.slice(start, ends[index]) }
  })
}

/** How many bytes stand before each message, and behind the last. */
function frameOf(contentType: string): number {
  return isJsonContentType(contentType) ? 1 : 0
}
