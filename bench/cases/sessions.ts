import { setTimeout as sleep } from "node:timers/promises"
import type { BenchCase, Costs } from "../case.ts"
import { scaled } from "../timed.ts"
import { kilobytes } from "../units.ts"
import { readEvents, untilWaiting } from "./live-server.ts"

type Transport = "sse" | "long-poll"

/** What each of many open reads keeps in memory, once all of them wait. */
async function measureSessions(
  serverUrl: string,
  scale: number,
  open: (url: string) => unknown,
): Promise<Costs> {
  const sessions = scaled(1000, scale)
  const before = await heapBytes()
  const kept: unknown[] = []
  for (let index = 0; index < sessions; index++) {
    kept.push(open(`${serverUrl}/live/${process.pid}-${index}`))
    // A thousand connections at once would measure the server's accept queue.
    if (index % 50 === 49) await untilWaiting(serverUrl, index + 1)
  }
  await untilWaiting(serverUrl, sessions)
  await sleep(200)
  const after = await heapBytes()
  if (kept.length !== sessions) throw new Error("sessions were lost")
  return { memory: (after - before) / sessions }
}

/** Memory in use, without what only waits for the collector. */
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
