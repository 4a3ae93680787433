import { fork, type ChildProcess } from "node:child_process"
import { once } from "node:events"
import { setTimeout as sleep } from "node:timers/promises"
import { COLLAPSING, startNginx, type Nginx } from "../../test/support/nginx.ts"
import type { ReadersOrder, ReadersReport } from "./readers.ts"

/** How many read, in how many processes. */
export interface Fleet {
  readonly readers: number
  readonly processes: number
}

/** What one phase cost. */
export interface PhaseCost {
  readonly title: string
  readonly readers: number
  readonly atCache: number
  readonly atOrigin: number
  /** From an append to each reader, in milliseconds; empty if nothing was appended. */
  readonly lags: readonly number[]
}

const PAGES = 5
const MESSAGES = 5
const INTERVAL_MS = 1000
const contentType = "application/json"

/** A live response has a URL of its own by its cursor. */
const COLLAPSING_LIVE = `${COLLAPSING} proxy_cache_lock_age 60s;`

/** An SSE response never ends, so that no cache can share it; it must not be held back either. */
const UNBUFFERED = "proxy_buffering off;"

/** A server in a process of its own, and a cache in front of it. */
interface Site {
  readonly url: string
  readonly cacheUrl: string
  /** Requests so far, at the cache and at the server. */
  counts(): Promise<{ atCache: number; atOrigin: number }>
  [Symbol.asyncDispose](): Promise<void>
}

/** Reads pages that are stored through a cache: each reader reads ahead by so many pages. */
export async function measureCatchUp(fleet: Fleet, readAhead: number): Promise<PhaseCost> {
  await using site = await startSite("../server/main.ts", COLLAPSING_LIVE)
  const url = `${site.cacheUrl}/pages/json/${PAGES}/100/100`
  const title = `catch-up, ${PAGES} pages, readAhead ${readAhead}`
  const readers = startReaders(fleet, { url, live: false, readAhead })
  return { title, readers: fleet.readers, lags: await readers.done, ...(await site.counts()) }
}

/** Follows a stream at its tail through a cache, while messages are appended at a steady pace. */
export async function measureLive(fleet: Fleet, live: "long-poll" | "sse"): Promise<PhaseCost> {
  const location = live === "sse" ? UNBUFFERED : COLLAPSING_LIVE
  await using site = await startSite("../server/reference.ts", location)
  const headers = { "content-type": contentType }
  // One message is stored already: a page of it says to each reader that it is up to date.
  await fetch(`${site.url}/stream`, { method: "PUT", headers, body: "[{}]" })
  const readers = startReaders(fleet, { url: `${site.cacheUrl}/stream`, live, readAhead: 1 })
  await readers.upToDate
  // Their live requests are on their way.
  await sleep(INTERVAL_MS)
  for (let n = 0; n < MESSAGES; n++) {
    const body = JSON.stringify({ sentAt: Date.now() })
    await fetch(`${site.url}/stream`, { method: "POST", headers, body })
    await sleep(INTERVAL_MS)
  }
  await fetch(`${site.url}/stream`, { method: "POST", headers: { "stream-closed": "true" } })
  const lags = await readers.done
  const { atCache, atOrigin } = await site.counts()
  const title = `live, ${live}, ${MESSAGES} messages`
  // The stream's creation, its messages and its end did not come through the cache.
  return { title, readers: fleet.readers, atCache, atOrigin: atOrigin - MESSAGES - 2, lags }
}

function startReaders({ readers, processes }: Fleet, order: Omit<ReadersOrder, "readers">) {
  const inEach = Math.ceil(readers / processes)
  const children = Array.from({ length: processes }, (_, index) => {
    const share = Math.min(inEach, readers - index * inEach)
    return forkProgram("readers.ts", [], [JSON.stringify({ ...order, readers: share })])
  })
  const next = async <Kind extends ReadersReport["kind"]>(child: ChildProcess, kind: Kind) => {
    for (;;) {
      const [report] = (await Promise.race([once(child, "message"), death(child)])) as [
        ReadersReport,
      ]
      // The compiler does not see that one kind was asked for.
      if (report.kind === kind) return report as Extract<ReadersReport, { kind: Kind }>
    }
  }
  return {
    upToDate: Promise.all(children.map((child) => next(child, "up-to-date"))),
    done: Promise.all(children.map((child) => next(child, "done")))
      .then((reports) => reports.flatMap(({ lags }) => lags))
      .finally(() => {
        for (const child of children) child.kill("SIGKILL")
      }),
  }
}

async function startSite(program: string, location: string): Promise<Site> {
  const server = forkProgram(program, ["--import", programUrl("count-requests.ts")], [])
  const [url] = (await Promise.race([once(server, "message"), death(server)])) as [string]
  const nginx = await startNginx(url, location)
  return {
    url,
    cacheUrl: nginx.url,
    async counts() {
      server.send("count")
      const [atOrigin] = (await once(server, "message")) as [number]
      return { atCache: await requestsAt(nginx), atOrigin }
    },
    async [Symbol.asyncDispose]() {
      await nginx[Symbol.asyncDispose]()
      server.kill("SIGKILL")
    },
  }
}

async function requestsAt(nginx: Nginx): Promise<number> {
  return Object.values(await nginx.upstreamRequests()).reduce((sum, count) => sum + count, 0)
}

function forkProgram(program: string, execArgv: string[], args: string[]): ChildProcess {
  const stdio: ["ignore", "ignore", "inherit", "ipc"] = ["ignore", "ignore", "inherit", "ipc"]
  return fork(new URL(program, import.meta.url), args, {
    execArgv: ["--import", "tsx", ...execArgv],
    stdio,
  })
}

const programUrl = (program: string) => new URL(program, import.meta.url).href

async function death(child: ChildProcess): Promise<never> {
  const [code] = (await once(child, "exit")) as [number | null]
  throw new Error(`${child.spawnfile} ended with ${code}`)
}
