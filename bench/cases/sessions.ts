import { setTimeout as sleep } from "node:timers/promises"
import type { BenchCase, Costs } from "../case.ts"
import { scaled } from "../timed.ts"
import { kilobytes } from "../units.ts"
import { readEvents, untilWaiting } from "./live-server.ts"

type Transport = "sse" | "long-poll"

/** A thousand connections at once would measure the server's accept queue. */
const AT_ONCE = 50

/** What each of many open reads keeps in memory, once all of them wait. */
async function measureSessions(
  serverUrl: string,
  scale: number,
  open: (url: string) => unknown,
): Promise<Costs> {
  const kept: unknown[] = []
  const openUntil = async (count: number) => {
    while (kept.length < count) {
      const last = Math.min(count, kept.length + AT_ONCE)
      while (kept.length < last) kept.push(open(`${serverUrl}/live/${process.pid}-${kept.length}`))
      await untilWaiting(serverUrl, kept.length)
    }
    await sleep(200)
  }
  // What a process keeps once, however many it opens, is no session's: code that is compiled when it first runs, caches.
  await openUntil(AT_ONCE)
  const before = await heapBytes()
  const sessions = scaled(1000, scale)
  await openUntil(AT_ONCE + sessions)
  const after = await heapBytes()
  return { memory: (after - before) / sessions }
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

function sessionsCase(transport: Transport): BenchCase {
  return {
    name: `sessions-${transport}`,
    rows: [
      {
        title: `1,000 live sessions, ${transport}: memory of each beyond bare fetch`,
        metric: "memory",
        beyondFloor: true,
        target: { timesPeer: 2 },
        show: kilobytes,
      },
    ],
    floor: ({ serverUrl, scale }) =>
      measureSessions(serverUrl, scale, (url) =>
        transport === "sse"
          ? readEvents(url, () => undefined)
          : fetch(`${url}?live=long-poll&offset=0`).then((response) => response.text()),
      ),
    client: ({ stream }, { serverUrl, scale }) =>
      measureSessions(serverUrl, scale, async (url) => {
        const response = await stream({ url, live: transport, warnOnHttp: false })
        return response.subscribeJson(() => undefined)
      }),
  }
}

/** Many streams tailed by one process. */
export const sessionsCases: readonly BenchCase[] = [sessionsCase("sse"), sessionsCase("long-poll")]
