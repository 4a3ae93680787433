/**
 * What the client promises, in four acts against a file-backed server in a process of its own: two readers tail a stream and one is
 * disconnected; the server is killed; responses of a producer are lost; the process of an outbox is killed. Then the account.
 */
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { DurableStream, IdempotentProducer, stream } from "../../src/index.ts"
import { killChildren, startChild } from "./child-process.ts"
import { Reader } from "./reader.ts"
import { bar, paint, Screen, showCursor, table } from "./screen.ts"

const folder = await mkdtemp(join(tmpdir(), "durable-streams-demo-"))
const cleanUp = async () => {
  showCursor()
  killChildren()
  await rm(folder, { recursive: true, force: true })
}
// However it ends, by an error too.
process.once("exit", killChildren)
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(
    signal,
    () => void cleanUp().then(() => process.exit(signal === "SIGINT" ? 130 : 143)),
  )
}

// The screen says what happens; nothing else is printed.
const json = { contentType: "application/json", warnOnRetry: false }
const backoffOptions = { initialDelay: 50, maxDelay: 200 }
let server = startChild("server.ts", "0", join(folder, "streams"))
const base = await server.nextMessage()

const sleep = (ms: number) => new Promise<void>((resolve) => void setTimeout(resolve, ms))

async function until(what: string, condition: () => boolean): Promise<void> {
  for (const deadline = performance.now() + 60_000; !condition(); await sleep(5)) {
    if (performance.now() > deadline) throw new Error(`Waited for a minute, in vain: ${what}`)
  }
}

// The first two acts share a stream, its writer and its readers.
const ticks = await DurableStream.create({ url: `${base}/demo/ticks`, ...json, backoffOptions })
const writer = new IdempotentProducer(ticks, "demo", { autoClaim: true, lingerMs: 20 })
const ann = new Reader("ann", ticks.url, "sse")
const bob = new Reader("bob", ticks.url, "long-poll")
let written = 0
let writtenAtResume = Infinity
const writing = setInterval(() => writer.append({ n: written++, writtenMs: Date.now() }), 20)
const rows = () => [ann, bob].map((reader) => reader.row(written))

const reading = Promise.all([ann.read(), readThroughTunnel(bob)])

async function readThroughTunnel(reader: Reader): Promise<void> {
  await reader.read()
  first.event(`${reader.name} is disconnected after ${reader.received.length} messages`)
  await sleep(500)
  first.event(`${reader.name} resumes from the offset that it saved`)
  writtenAtResume = written
  await reader.read()
}

const first = new Screen("1  Readers, by SSE and by long-poll; one is disconnected", rows)
await until("bob has 40 messages", () => bob.received.length >= 40)
bob.disconnect()
await until("bob has caught up", () => bob.received.length >= Math.max(writtenAtResume, 100))
first.end()

const second = new Screen("2  The server is killed and started again", rows)
// The reference server stores a message and its producer's number one after the other: what is killed between the two is stored
// again by a retry, whatever a client does. So nothing is in flight here.
await until("nothing is in flight", () => writer.inFlightCount === 0)
second.event("kill -9: the server is gone, and the writer goes on")
await server.kill()
const writtenBefore = written
// Only then is the server started: once it is back, a reader is soon live again.
await until("ann has noticed", () => ann.state !== "live" && written >= writtenBefore + 40)
second.event(`${writer.pendingCount + writer.inFlightCount} of the writer's messages wait for it`)
server = startChild("server.ts", new URL(base).port, join(folder, "streams"))
await server.nextMessage()
second.event("the server is back; writer and readers go on where they were")
await until("the writer has gone on", () => written >= writtenBefore + 100)
clearInterval(writing)
await writer.close()
await reading
second.event("the stream is closed; both have everything")
second.end()

// The server gets each request, but its first two responses are lost on the way.
let sent = 0
const third = new Screen("3  A producer whose responses are lost", () => [
  `payment        ${bar(Math.min(sent, 3), 3)} sent ${sent} times`,
])
const payments = await DurableStream.create({
  url: `${base}/demo/payments`,
  ...json,
  backoffOptions: { initialDelay: 600, maxDelay: 600 },
  fetch: async (input, init) => {
    const response = await fetch(input, init)
    if (init?.method !== "POST" || ++sent === 3) return response
    third.event(`sent; the response (${response.status}) is lost`)
    throw new TypeError("fetch failed")
  },
})
await using cashier = new IdempotentProducer(payments, "cashier", { autoClaim: true })
await cashier.send({ amount: 100 })
const stored = await (await stream({ url: payments.url, live: false })).json()
third.event(`sent ${sent} times, stored ${stored.length === 1 ? "once" : `${stored.length} times`}`)
third.end()

// Orders are queued in a file, and the process that delivers them dies.
const ORDERS = 40
const orders = await DurableStream.create({ url: `${base}/demo/orders`, ...json })
const delivered: number[] = []
const fourth = new Screen("4  A process is killed; its outbox finishes the work", () => [
  `orders         ${bar(delivered.length, ORDERS)} ${delivered.length}/${ORDERS}`,
])
const file = join(folder, "outbox.json")
const look = await stream<{ order: number }>({ url: orders.url })
look.subscribeJson(({ items }) => void delivered.push(...items.map(({ order }) => order)))
const shop = startChild("outbox-writer.ts", orders.url, file, String(ORDERS))
for (let line = await shop.nextMessage(); line !== "queued";) line = await shop.nextMessage()
fourth.event(`${ORDERS} orders are in its file`)
await until("15 orders are delivered", () => delivered.length >= 15)
await shop.kill()
fourth.event(`kill -9 after ${delivered.length} orders`)
await startChild("outbox-writer.ts", orders.url, file).ended()
await until("every order is delivered", () => delivered.length >= ORDERS)
fourth.event(`another process opened the file: ${delivered.length} orders, once and in order`)
fourth.end()
look.cancel()

console.log(`\n${paint.bold("The account")}`)
const account = [
  entry("ann (SSE)", written, ann.received, ann),
  entry("bob (long-poll)", written, bob.received, bob),
  entry(
    "payment",
    1,
    stored.map((_, index) => index),
  ),
  entry("orders", ORDERS, delivered),
]
table(account)
const isComplete = account.every(
  ({ missing, twice, order }) => !missing && !twice && order === "kept",
)
console.log(
  isComplete
    ? paint.good("\nEverything is there, once and in order.")
    : paint.bad("\nSomething was lost or came twice."),
)
await cleanUp()
process.exitCode = isComplete ? 0 : 1

function entry(what: string, count: number, numbers: readonly number[], reader?: Reader) {
  const distinct = new Set(numbers)
  return {
    what,
    written: count,
    received: numbers.length,
    missing: count - distinct.size,
    twice: numbers.length - distinct.size,
    order: numbers.every((n, index) => n === index) ? "kept" : "broken",
    "worst lag": reader === undefined ? "" : `${reader.worstLagMs} ms`,
  }
}
