import { expect, it } from "vitest"
import type { StoredView, StreamPersistence } from "../../src/store/index.ts"

/** A record as a store saves it. */
export const exampleRecord: StoredView = {
  version: "1",
  url: "https://streams.example.com/chat",
  offset: "0000_0100",
  value: '["é","\u2028"]',
}

/**
 * What every persistence promises.
 *
 * @param begin - begins with an empty storage, and gives a function that makes persistences of one record in it
 */
export function itPersists(
  begin: () => (() => StreamPersistence) | Promise<() => StreamPersistence>,
): void {
  const record = exampleRecord
  it("is there again, for every persistence of its record", async () => {
    const make = await begin()
    const [first, second] = [make(), make()]
    expect(first.id).toBe(second.id)
    expect((await first.load()) ?? undefined).toBe(undefined)
    await first.save(record)
    expect(await second.load()).toEqual(record)
  })

  it.each<[string, Partial<StoredView>, boolean]>([
    ["further on", { offset: "0000_0200" }, true],
    ["at the same offset", { value: "[]" }, true],
    ["behind", { offset: "0000_0099" }, false],
    ["behind, of another version", { offset: "0000_0099", version: "2" }, true],
    ["behind, of another stream", { offset: "0000_0099", url: "https://example.com/b" }, true],
  ])("and one that is %s: replaced %s", async (_where, changes, isReplaced) => {
    const persistence = (await begin())()
    await persistence.save(record)
    const other = { ...record, ...changes }
    await persistence.save(other)
    expect(await persistence.load()).toEqual(isReplaced ? other : record)
  })

  it("is deleted, and can be stored again at any offset", async () => {
    const make = await begin()
    await make().save(record)
    await make().clear()
    await make().clear()
    expect((await make().load()) ?? undefined).toBe(undefined)
    const behind = { ...record, offset: "0000_0001" }
    await make().save(behind)
    expect(await make().load()).toEqual(behind)
  })
}
