import { stream } from "@durable-streams/client"

/** How one process reads, as its only argument, in JSON. */
export interface ReadersOrder {
  readonly url: string
  readonly readers: number
  readonly live: false | "long-poll" | "sse"
  readonly readAhead: number
}

/** What it sends: once all its readers are up to date, and once all have read to the end. */
export type ReadersReport =
  { readonly kind: "up-to-date" } | { readonly kind: "done"; readonly lags: readonly number[] }

/** A message of the live phases. */
export interface Sent {
  /** Milliseconds since 1970. */
  readonly sentAt?: number
}

process.on("disconnect", () => process.exit())
// Written by measure-scaling.ts.
const { readers, ...options } = JSON.parse(process.argv[2] ?? "{}") as ReadersOrder
const report = (message: ReadersReport) => process.send?.(message)

const lags: number[] = []
let waiting = readers

async function read(): Promise<void> {
  const response = await stream<Sent>({ ...options, warnOnHttp: false })
  let isUpToDate = false
  for await (const { items, upToDate } of response.jsonBatches()) {
    for (const { sentAt } of isUpToDate ? items : []) lags.push(Date.now() - (sentAt ?? NaN))
    if (isUpToDate || !upToDate) continue
    isUpToDate = true
    if (--waiting === 0) report({ kind: "up-to-date" })
  }
}

await Promise.all(Array.from({ length: readers }, read))
report({ kind: "done", lags })
