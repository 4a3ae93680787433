import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { stream, type StreamResponse } from "../../src/index.ts"

/**
 * Opens sessions in one process that consume in each way, and prints how many bytes each keeps once it waits, as JSON.
 *
 * Arguments: the url of the server, how many sessions.
 */
const [serverUrl = "", count = "1"] = process.argv.slice(2)

setFlagsFromString("--expose_gc")
// The function exists in contexts made after the flag was set.
const collectGarbage = runInNewContext("gc") as () => void

type Consume = (response: StreamResponse) => unknown

/** Takes part after part. Not by a loop, which would hold on to the last one itself. */
function drain<T>(source: AsyncIterable<T>): void {
  const parts = source[Symbol.asyncIterator]()
  const next = () => {
    void parts.next().then(goOn)
  }
  const goOn = ({ done }: IteratorResult<T>) => {
    if (done !== true) setImmediate(next)
  }
  next()
}

const ways: Record<string, Consume> = {
  subscribeJson: (response) => response.subscribeJson(() => undefined),
  subscribeText: (response) => response.subscribeText(() => undefined),
  subscribeBytes: (response) => response.subscribeBytes(() => undefined),
  jsonBatches: (response) => {
    drain(response.jsonBatches())
  },
  textChunks: (response) => {
    drain(response.textChunks())
  },
  byteChunks: (response) => {
    drain(response.byteChunks())
  },
  jsonStream: (response) => {
    drain(response.jsonStream())
  },
  textStream: (response) => {
    drain(response.textStream())
  },
  bodyStream: (response) => {
    drain(response.bodyStream())
  },
}

async function memoryBytes(): Promise<number> {
  for (let round = 0; round < 4; round++) {
    await new Promise((resolve) => setTimeout(resolve, 20))
    collectGarbage()
  }
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

/** Waits until the session has delivered all there is, and asked the server for more. */
async function untilWaiting(response: StreamResponse, sessions: number): Promise<void> {
  for (;;) {
    const status = await fetch(`${serverUrl}/waiting`)
    const { waiting, tail } = (await status.json()) as { waiting: number; tail: string }
    if (waiting >= sessions && response.offset === tail) return
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

const kept: unknown[] = []

async function openSessions(live: "sse" | "long-poll", consume: Consume, sessions: number) {
  for (let opened = 0; opened < sessions; opened++) {
    const response = await stream({ url: `${serverUrl}/s`, live })
    kept.push(consume(response), response)
    await untilWaiting(response, kept.length / 2)
  }
}

const transports = ["sse", "long-poll"] as const
// Code that runs for the first time is compiled, and kept.
for (const consume of Object.values(ways)) {
  for (const live of transports) await openSessions(live, consume, 1)
}
const report: Record<string, number> = {}
for (const [name, consume] of Object.entries(ways)) {
  for (const live of transports) {
    const before = await memoryBytes()
    await openSessions(live, consume, Number(count))
    report[`${name}, ${live}`] = Math.round(((await memoryBytes()) - before) / Number(count))
  }
}
console.log(JSON.stringify(report))
process.exit(0)
