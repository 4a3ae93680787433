import { open, readFile, rename } from "node:fs/promises"
import { dirname } from "node:path"
import type { Order } from "./order.ts"

/**
 * What the worker has computed, and the offset of the stream up to which it has. They are written in one piece: were the
 * offset written before or after the rest, a kill in between would count orders twice or not at all.
 */
export interface Checkpoint {
  readonly offset: string
  readonly orders: number
  /** How many of each product were ordered. */
  readonly quantities: Readonly<Record<string, number>>
}

const BEGINNING: Checkpoint = { offset: "-1", orders: 0, quantities: {} }

/** The checkpoint after a batch. */
export function afterOrders(
  { orders, quantities }: Checkpoint,
  batch: readonly Order[],
  offset: string,
): Checkpoint {
  const sums = { ...quantities }
  for (const { product, quantity } of batch) sums[product] = (sums[product] ?? 0) + quantity
  return { offset, orders: orders + batch.length, quantities: sums }
}

/** The checkpoint that was saved last, or the beginning. */
export async function loadCheckpoint(file: string): Promise<Checkpoint> {
  try {
    // Written by saveCheckpoint below.
    return JSON.parse(await readFile(file, "utf8")) as Checkpoint
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return BEGINNING
    throw error
  }
}

/** Saves atomically: whenever the process or the machine dies, the file holds the checkpoint before or this one, whole. */
export async function saveCheckpoint(file: string, checkpoint: Checkpoint): Promise<void> {
  const draft = `${file}.draft`
  await withFile(await open(draft, "w"), async (handle) => {
    await handle.writeFile(JSON.stringify(checkpoint))
    await handle.sync()
  })
  await rename(draft, file)
  // The rename is in the folder, which is synced by itself.
  await withFile(await open(dirname(file), "r"), (folder) => folder.sync())
}

async function withFile<T extends { close(): Promise<void> }>(
  handle: T,
  work: (handle: T) => Promise<void>,
): Promise<void> {
  try {
    await work(handle)
  } finally {
    await handle.close()
  }
}
