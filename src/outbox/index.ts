export { openOutbox, Outbox } from "./outbox.ts"
export type { OutboxState } from "./outbox.ts"
export type { OutboxEvent, OutboxOptions } from "./outbox-options.ts"
export { OutboxError } from "./outbox-error.ts"
export type { OutboxErrorCode } from "../errors/error-code.ts"
export { indexedDbStore, requestPersistence } from "./indexed-db-store.ts"
export { sqliteStore } from "./sqlite-store.ts"
export type { SqliteDatabase, SqliteStatement, SqliteValue } from "../platform/sqlite-database.ts"
export { postgresStore } from "./postgres-store.ts"
export type { PostgresClient, PostgresPool, PostgresStoreOptions } from "./postgres-store.ts"
export { operate, runAsync, runSync } from "./outbox-store.ts"
export type {
  OperationResults,
  OutboxStore,
  StoredMessage,
  StoredRecord,
  StoreOperation,
  StoreProgram,
} from "./outbox-store.ts"
export { testOutboxStore } from "./test-outbox-store.ts"
