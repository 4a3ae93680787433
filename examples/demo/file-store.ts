import {
  closeSync,
  existsSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  writeSync,
} from "node:fs"
import {
  runSync,
  type OutboxStore,
  type StoredRecord,
  type StoreOperation,
} from "../../src/outbox/index.ts"

interface Content {
  lastId: number
  messages: { id: number; base64: string }[]
  records: Record<string, { json: string; base64?: string }>
}

/** An outbox in one file, for one process at a time: each transaction writes it anew. The package has stores for databases. */
export function fileStore(file: string): OutboxStore {
  return {
    async transact(_outbox, program) {
      const content: Content = existsSync(file)
        ? JSON.parse(readFileSync(file, "utf8"))
        : { lastId: -1, messages: [], records: {} }
      const before = JSON.stringify(content)
      const result = runSync(program(), (operation) => execute(content, operation))
      const after = JSON.stringify(content)
      if (after !== before) replaceFile(file, after)
      return result
    },
  }
}

function execute(content: Content, operation: StoreOperation): unknown {
  switch (operation.kind) {
    case "get": {
      const record = content.records[operation.key]
      return record && { json: record.json, bytes: record.base64 && toBytes(record.base64) }
    }
    case "put":
      content.records[operation.key] = pack(operation.record)
      return undefined
    case "delete":
      delete content.records[operation.key]
      return undefined
    case "enqueue": {
      const id = operation.id ?? ++content.lastId
      content.messages.push({ id, base64: toBase64(operation.bytes) })
      content.messages.sort((one, other) => one.id - other.id)
      return id
    }
    case "messages":
      return content.messages
        .filter(({ id }) => id > operation.afterId)
        .slice(0, operation.maxCount)
        .map(({ id, base64 }) => ({ id, bytes: toBytes(base64) }))
    case "remove":
      content.messages = content.messages.filter(({ id }) => !operation.ids.includes(id))
      return undefined
    case "size": {
      const bytes = content.messages.reduce((sum, { base64 }) => sum + toBytes(base64).length, 0)
      return { count: content.messages.length, bytes, lastId: content.messages.at(-1)?.id ?? -1 }
    }
    case "now":
      return Date.now()
  }
}

/** The new content is on disk before it takes the place of the old one. */
function replaceFile(file: string, text: string): void {
  const descriptor = openSync(`${file}.new`, "w")
  writeSync(descriptor, text)
  fsyncSync(descriptor)
  closeSync(descriptor)
  renameSync(`${file}.new`, file)
}

function pack({ json, bytes }: StoredRecord): { json: string; base64?: string } {
  return bytes === undefined ? { json } : { json, base64: toBase64(bytes) }
}

function toBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("base64")
}

function toBytes(base64: string): Uint8Array {
  return new Uint8Array(Buffer.from(base64, "base64"))
}
