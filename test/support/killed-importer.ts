import type { ChildProcess } from "node:child_process"
import { once } from "node:events"
import { DurableStream, stream } from "../../src/index.ts"
import { startBreakingProxy } from "./breaking-proxy.ts"
import { startReferenceServer } from "./reference-server.ts"
import { SeededRandom } from "./seeded-random.ts"

/**
 * Starts an importer (`importRows`) again and again, kills it with SIGKILL during one of its requests, and lets the last one end.
 *
 * @param start - starts one that writes to the url
 * @returns how the processes ended, and the ids in the stream
 */
export async function runKilledImporter(
  kills: number,
  seed: number,
  start: (url: string) => ChildProcess,
): Promise<{ signals: (string | null)[]; ids: number[] }> {
  await using server = await startReferenceServer()
  await using proxy = await startBreakingProxy(server.url)
  const url = server.streamUrl("importer")
  await DurableStream.create({ url, contentType: "application/json" })
  const random = new SeededRandom(seed)
  let requestsToLive = Infinity
  let kill: () => void = () => undefined
  proxy.decide = ({ method }) => {
    if (method === "POST" && --requestsToLive === 0) kill()
    // Some requests are still on their way when their process is gone, and when the next one writes.
    return { kind: "pass", delayMs: random.chance(0.2) ? random.int(0, 300) : 0 }
  }
  const signals: (string | null)[] = []
  for (let life = 0; life <= kills; life++) {
    requestsToLive = life === kills ? Infinity : random.int(1, 2)
    const child = start(proxy.through(url))
    kill = () => setTimeout(() => child.kill("SIGKILL"), random.int(0, 5))
    const [, signal] = (await once(child, "exit")) as [number | null, string | null]
    signals.push(signal)
  }
  const log = await (await stream<{ id: number }>({ url, live: false })).json()
  return { signals, ids: log.map(({ id }) => id) }
}
