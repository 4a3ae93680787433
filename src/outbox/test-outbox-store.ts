import { operate, type OutboxStore, type StoredMessage, type StoreProgram } from "./outbox-store.ts"

/**
 * Checks that an {@link OutboxStore} keeps the rules of its interface, `join` and `watch` excepted. For a test of any runner.
 *
 * @param makeStore - opens the same durable store at every call: an empty one at the first
 * @throws Error that lists the rules that are broken, and how
 * @example
 * ```ts no-run
 * // Needs a test runner.
 * import { test } from "node:test"
 * import { testOutboxStore, type OutboxStore } from "@durable-streams/client/outbox"
 *
 * declare function myStore(file: string): OutboxStore
 *
 * test("myStore", () => testOutboxStore(() => myStore("test.db")))
 * ```
 */
export async function testOutboxStore(
  makeStore: () => OutboxStore | Promise<OutboxStore>,
): Promise<void> {
  const problems: string[] = []
  for (const [rule, check] of Object.entries(rules)) {
    const store = await makeStore()
    const other = await makeStore()
    try {
      await check({ store, other, outbox: `test ${rule}` })
    } catch (error) {
      problems.push(`- ${rule}: ${error instanceof Error ? error.message : String(error)}`)
    } finally {
      await store.close?.()
      await other.close?.()
    }
  }
  if (problems.length > 0) throw new Error(`The store breaks rules:\n${problems.join("\n")}`)
}

interface RuleContext {
  readonly store: OutboxStore
  /** The same store, opened again. */
  readonly other: OutboxStore
  readonly outbox: string
}

const EMPTY = { count: 0, bytes: 0, lastId: -1 }

const rules: Readonly<Record<string, (context: RuleContext) => Promise<void>>> = {
  "keeps records with their bytes, replaces and deletes them": async ({ store, outbox }) => {
    await store.transact(outbox, function* () {
      yield* put("a", '{"n":1}', bytesOf("x\0y"))
      yield* put("b", "old", bytesOf("old"))
      yield* put("c", "3")
    })
    await store.transact(outbox, function* () {
      yield* put("b", "new")
      yield* operate({ kind: "delete", key: "c" })
    })
    const [a, b, c] = await store.transact(outbox, () => getAll("a", "b", "c"))
    const found = [a?.json, textOf(a?.bytes), b?.json, b?.bytes ?? null, c ?? null]
    expectSame(found, ['{"n":1}', "x\0y", "new", null, null])
  },
  "keeps messages in the order in which they were queued": async ({ store, outbox }) => {
    await store.transact(outbox, () => enqueue("a", "b"))
    await store.transact(outbox, () => enqueue("c"))
    expectSame(await queueOf(store, outbox), ["a", "b", "c"])
  },
  "returns the first messages above an id, also this transaction's": async ({ store, outbox }) => {
    await store.transact(outbox, () => enqueue("a", "b"))
    const found = await store.transact(outbox, function* () {
      yield* enqueue("c")
      const [first] = yield* operate({ kind: "messages", afterId: -1, maxCount: 1 })
      const next = yield* operate({ kind: "messages", afterId: first?.id ?? 0, maxCount: 2 })
      return [first, ...next].map((message) => textOf(message?.bytes))
    })
    expectSame(found, ["a", "b", "c"])
  },
  "puts messages back where they were": async ({ store, outbox }) => {
    await store.transact(outbox, () => enqueue("a", "b"))
    const a = await firstOf(store, outbox)
    await store.transact(outbox, () => operate({ kind: "remove", ids: [a.id] }))
    await store.transact(outbox, function* () {
      yield* enqueue("c")
      yield* operate({ kind: "enqueue", ...a })
    })
    expectSame(await queueOf(store, outbox), ["a", "b", "c"])
  },
  "never gives the id of a removed message to another": async ({ store, other, outbox }) => {
    await store.transact(outbox, () => enqueue("a"))
    const a = await firstOf(store, outbox)
    await store.transact(outbox, () => operate({ kind: "remove", ids: [a.id] }))
    await other.transact(outbox, () => enqueue("b"))
    const b = await firstOf(store, outbox)
    expectSame(b.id > a.id, true)
  },
  "counts messages and bytes, also after some are removed, put back, or rolled back": async (
    context,
  ) => {
    const { store, other, outbox } = context
    const size = function* () {
      const { count, bytes } = yield* operate({ kind: "size" })
      return [count, bytes]
    }
    const sizeIn = (it: OutboxStore) => it.transact(outbox, size)
    expectSame(await store.transact(outbox, () => operate({ kind: "size" })), EMPTY)
    await store.transact(outbox, () => enqueue("abc", "de"))
    const [first, last] = await messagesIn(store, outbox)
    const { lastId } = await store.transact(outbox, () => operate({ kind: "size" }))
    expectSame([await sizeIn(other), lastId], [[2, 5], last?.id])
    if (first === undefined) throw new Error("a message is missing")
    const remove = () => operate({ kind: "remove", ids: [first.id] })
    const within = store.transact(outbox, function* () {
      yield* enqueue("fghi")
      const before = yield* size()
      yield* remove()
      return [before, yield* size()]
    })
    expectSame(await within, [
      [3, 9],
      [2, 6],
    ])
    // It is gone: nothing changes.
    await other.transact(outbox, remove)
    expectSame(await sizeIn(store), [2, 6])
    await store.transact(outbox, () => operate({ kind: "enqueue", ...first }))
    const rolledBack = other.transact(outbox, function* (): StoreProgram<void> {
      yield* remove()
      yield* enqueue("jklmno")
      throw new Error("roll back")
    })
    await rolledBack.catch(() => undefined)
    expectSame([await sizeIn(store), await sizeIn(other)], Array(2).fill([3, 9]))
    expectSame(await store.transact(`${outbox} 2`, () => operate({ kind: "size" })), EMPTY)
  },
  "rolls everything back if a program throws": async ({ store, outbox }) => {
    await store.transact(outbox, () => put("a", "1"))
    const thrown = new Error("stop")
    const program = function* (): StoreProgram<void> {
      yield* put("a", "2")
      yield* enqueue("lost")
      throw thrown
    }
    const error = await store.transact(outbox, program).catch((it: unknown) => it)
    expectSame(error === thrown, true)
    const [a] = await store.transact(outbox, () => getAll("a"))
    expectSame([a?.json, await queueOf(store, outbox)], ["1", []])
  },
  "isolates transactions that lock the same key, also before it has a record": async (context) => {
    const { store, other, outbox } = context
    const increment = (by: OutboxStore) =>
      by.transact(outbox, function* () {
        const record = yield* operate({ kind: "get", key: "n", lock: "update" })
        yield* put("n", String(Number(record?.json ?? 0) + 1))
      })
    await Promise.all(Array.from({ length: 20 }, (_, n) => increment(n % 2 === 0 ? store : other)))
    const [n] = await store.transact(outbox, () => getAll("n"))
    expectSame(n?.json, "20")
  },
  "shows a transaction one state of the store, whatever others commit": async (context) => {
    const { store, other, outbox } = context
    await store.transact(outbox, () => enqueue("a"))
    let writing: Promise<unknown> | undefined
    const [before, after] = await store.transact(outbox, function* () {
      const read = () => operate({ kind: "messages", afterId: -1, maxCount: 9 })
      const first = yield* read()
      const write = { isOver: false }
      writing ??= other.transact(outbox, () => enqueue("b")).then(() => (write.isOver = true))
      // It may have to wait for this transaction.
      for (let turn = 0; turn < 200 && !write.isOver; turn++) yield* operate({ kind: "now" })
      return [first.length, (yield* read()).length]
    })
    await writing
    expectSame(before, after)
  },
  "keeps outboxes apart": async ({ store, outbox }) => {
    await store.transact(outbox, function* () {
      yield* put("a", "1")
      yield* enqueue("a")
    })
    const [a] = await store.transact(`${outbox} 2`, () => getAll("a"))
    expectSame([a ?? null, await queueOf(store, `${outbox} 2`)], [null, []])
  },
  "shows what was committed to the next opener": async ({ store, other, outbox }) => {
    await store.transact(outbox, function* () {
      yield* put("a", "1")
      yield* enqueue("a")
    })
    await store.close?.()
    const [a] = await other.transact(outbox, () => getAll("a"))
    expectSame([a?.json, await queueOf(other, outbox)], ["1", ["a"]])
  },
  "works after close, for another outbox that is still open": async ({ store, outbox }) => {
    await store.transact(outbox, () => enqueue("a"))
    await store.close?.()
    expectSame(await queueOf(store, outbox), ["a"])
  },
  "tells the time in Unix milliseconds": async ({ store, outbox }) => {
    const nowMs = await store.transact(outbox, () => operate({ kind: "now" }))
    expectSame(nowMs > Date.UTC(2025, 0) && nowMs < Date.UTC(2200, 0), true)
  },
}

function* getAll(...keys: readonly string[]) {
  const records = []
  for (const key of keys) records.push(yield* operate({ kind: "get", key }))
  return records
}

function* put(key: string, json: string, bytes?: Uint8Array): StoreProgram<void> {
  yield* operate({ kind: "put", key, record: bytes === undefined ? { json } : { json, bytes } })
}

function* enqueue(...texts: readonly string[]): StoreProgram<void> {
  for (const text of texts) yield* operate({ kind: "enqueue", bytes: bytesOf(text) })
}

function messagesIn(store: OutboxStore, outbox: string): Promise<StoredMessage[]> {
  return store.transact(outbox, () =>
    operate({ kind: "messages", afterId: -1, maxCount: 100 } as const),
  )
}

async function firstOf(store: OutboxStore, outbox: string): Promise<StoredMessage> {
  const [first] = await messagesIn(store, outbox)
  if (first === undefined) throw new Error("a message is missing")
  return first
}

async function queueOf(store: OutboxStore, outbox: string): Promise<(string | undefined)[]> {
  return (await messagesIn(store, outbox)).map(({ bytes }) => textOf(bytes))
}

function bytesOf(text: string): Uint8Array {
  return Uint8Array.from(text, (char) => char.charCodeAt(0))
}

function textOf(bytes: Uint8Array | undefined): string | undefined {
  return bytes && String.fromCharCode(...bytes)
}

function expectSame(actual: unknown, expected: unknown): void {
  const [shown, wanted] = [actual, expected].map((value) => JSON.stringify(value))
  if (shown !== wanted) throw new Error(`expected ${wanted}, got ${shown}`)
}
