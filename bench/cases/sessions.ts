import { setTimeout as sleep } from "node:timers/promises"
import type { BenchCase, Costs, Job, Row } from "../case.ts"
import { expectCount, scaled, timed } from "../timed.ts"
import { kilobytes, milliseconds } from "../units.ts"
import { readEvents, untilWaiting } from "./live-server.ts"

type Transport = "sse" | "long-poll"

/** Opens a live read; calls with how many messages came. */
type Open = (url: string, onMessages: (count: number) => void) => unknown

/** All connections at once would measure the server's accept queue. */
const AT_ONCE = 50

/** How long the sessions get messages, if they do, after a second of them for compiling. */
const BEAT_SECONDS = 4

interface SessionsCase {
  readonly transport: Transport
  readonly sessions: number
  /** How many messages come each second, each to another session. Default: none. */
  readonly perSecond?: number
}

/** What each of many open reads keeps in memory, once all of them wait; and what messages to a few of them cost. */
async function measureSessions(job: Job, settings: SessionsCase, open: Open): Promise<Costs> {
  const { serverUrl, scale } = job
  const kept: unknown[] = []
  let received = 0
  const openUntil = async (count: number) => {
    while (kept.length < count) {
      const last = Math.min(count, kept.length + AT_ONCE)
      while (kept.length < last)
        kept.push(
          open(`${serverUrl}/live/${process.pid}-${kept.length}`, (count) => (received += count)),
        )
      await untilWaiting(serverUrl, kept.length)
    }
    await sleep(200)
  }
  // What a process keeps once, however many it opens, is no session's: code that is compiled when it first runs, caches.
  await openUntil(AT_ONCE)
  const before = await heapBytes()
  const sessions = scaled(settings.sessions, scale)
  await openUntil(AT_ONCE + sessions)
  const memory = ((await heapBytes()) - before) / sessions
  if (settings.perSecond === undefined) return { memory }

  const { perSecond } = settings
  const beat = async (seconds: number) => {
    received = 0
    await fetch(`${serverUrl}/beat/${process.pid}/${sessions}/${perSecond}/${seconds}`)
    while (received < perSecond * seconds) await sleep(5)
    expectCount("messages", received, perSecond * seconds)
  }
  await beat(1)
  await untilWaiting(serverUrl, kept.length)
  const { cpu = NaN } = await timed(BEAT_SECONDS, () => beat(BEAT_SECONDS))
  return { memory, busy: cpu }
}

/**
 * Memory in use, without what only waits for the collector. Not what the system has given to the process: of that a large
 * part is room for new objects, and says how quickly the sessions were opened.
 */
async function heapBytes(): Promise<number> {
  for (let round = 0; round < 4; round++) {
    globalThis.gc?.()
    await sleep(20)
  }
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

const floors: Readonly<Record<Transport, Open>> = {
  sse: (url, onMessages) => readEvents(url, (data) => onMessages(countIn(data))),
  "long-poll": async (url, onMessages) => {
    for (let offset = "0"; ;) {
      const response = await fetch(`${url}?live=long-poll&offset=${offset}`)
      onMessages(countIn(await response.text()))
      offset = response.headers.get("stream-next-offset") ?? ""
    }
  },
}

function countIn(page: string): number {
  // What the server sends.
  return (JSON.parse(page) as unknown[]).length
}

function sessionsCase(settings: SessionsCase): BenchCase {
  const { transport, sessions, perSecond } = settings
  const title = `${sessions / 1000},000 live sessions, ${transport}`
  const busy: Row = {
    title: `the same: processor while 1 % of them get a message a second`,
    metric: "busy",
    target: { timesPeer: 1 },
    show: (ms) => `${milliseconds(ms)}/s`,
  }
  return {
    name: `sessions-${sessions}-${transport}`,
    ...(perSecond === undefined ? {} : { notQuick: "with fewer sessions it is another case" }),
    rows: [
      {
        title: `${title}: memory of each beyond bare fetch`,
        metric: "memory",
        beyondFloor: true,
        target: { timesPeer: 2 },
        show: kilobytes,
      },
      ...(perSecond === undefined ? [] : [busy]),
    ],
    floor: (job) => measureSessions(job, settings, floors[transport]),
    client: ({ stream }, job) =>
      measureSessions(job, settings, async (url, onMessages) => {
        const response = await stream({ url, live: transport, warnOnHttp: false })
        return response.subscribeJson(({ items }) => onMessages(items.length))
      }),
  }
}

/** Many streams tailed by one process. */
export const sessionsCases: readonly BenchCase[] = [
  sessionsCase({ transport: "sse", sessions: 1000 }),
  sessionsCase({ transport: "long-poll", sessions: 1000 }),
  sessionsCase({ transport: "sse", sessions: 10_000, perSecond: 100 }),
  sessionsCase({ transport: "long-poll", sessions: 10_000, perSecond: 100 }),
]
