/**
 * The main job, on an embedded server: two streams are created and written while four readers tail them, two by SSE and
 * two by long-poll. One is cut off in the middle and resumes. The streams are closed, every reader sees the end, and what
 * each received is held against what was written.
 */
import { DurableStreamTestServer } from "@durable-streams/server"

import { DurableStream } from "../../src/index.ts"
import { lockEntries, sourceLines } from "./content.ts"
import { read, type Reader } from "./reader.ts"
import { heading, paint, table } from "./screen.ts"

const server = new DurableStreamTestServer({ port: 0 })
const base = await server.start()

heading("Two streams")
const entries = await DurableStream.create({
  url: `${base}/demo/lock-entries`,
  contentType: "application/json",
})
const lines = await DurableStream.create({
  url: `${base}/demo/source-lines`,
  contentType: "text/plain",
})
console.log(`${entries.url}  application/json\n${lines.url}  text/plain`)

heading("Writing, and what arrives as it arrives")
const writtenAt = new Map<string, number>()
const writtenEntries: string[] = []
const writtenLines: string[] = []

async function writeEntries(): Promise<void> {
  for (const [n, entry] of (await lockEntries(60)).entries()) {
    const message = { n, ...entry }
    note(writtenEntries, JSON.stringify(message))
    await entries.append(message)
    await pause()
  }
  await entries.close()
}

async function writeLines(): Promise<void> {
  for (const line of await sourceLines(80)) {
    note(writtenLines, line)
    await lines.append(line)
    await pause()
  }
  await lines.close()
}

function note(written: string[], message: string): void {
  written.push(message)
  writtenAt.set(message, performance.now())
}

function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 10))
}

const [, , ...readers] = await Promise.all([
  writeEntries(),
  writeLines(),
  read({ name: "json A", url: entries.url, live: "sse", writtenAt, cutAfter: 20 }),
  read({ name: "json B", url: entries.url, live: "long-poll", writtenAt }),
  read({ name: "text A", url: lines.url, live: "sse", writtenAt }),
  read({ name: "text B", url: lines.url, live: "long-poll", writtenAt, cutAfter: 40 }),
])

heading("The account")
const rows = readers.map((reader) =>
  account(reader, reader.name.startsWith("json") ? writtenEntries : writtenLines),
)
table(rows)
const complete = rows.every(
  ({ missing, twice, order, eof }) =>
    missing === 0 && twice === 0 && order === "kept" && eof === "seen",
)
console.log(
  complete
    ? paint.good("\nEvery reader has every message, once and in order.")
    : paint.bad("\nSomething was lost or came twice."),
)
await server.stop()
process.exitCode = complete ? 0 : 1

function account(reader: Reader, written: readonly string[]) {
  const received = new Set(reader.received)
  return {
    reader: reader.name,
    written: written.length,
    received: reader.received.length,
    missing: written.filter((message) => !received.has(message)).length,
    twice: reader.received.length - received.size,
    order: reader.received.join("") === written.join("") ? "kept" : "broken",
    "cut off": reader.cuts,
    "worst lag": `${reader.worstLagMs} ms`,
    eof: reader.sawEof ? "seen" : "missed",
  }
}
