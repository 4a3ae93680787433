import { Subscriptions } from "../../../src/subscriptions/index.ts"
import { SubscriptionModelServer } from "../../../src/testing/subscriptions.ts"
import { FaultyNetwork } from "../../support/faulty-network/network.ts"
import { SeededRandom } from "../../support/seeded-random.ts"
import type { VirtualClock } from "../../support/virtual-clock.ts"
import { runInVirtualTime, type VirtualRunReport } from "../../support/virtual-time.ts"

const ROOT = "http://model.test/v1/stream"

/** A request of the client, as a test sees it. */
export interface SeenRequest {
  /** The method and the path below the root, without `__ds/subscriptions/`: `POST jobs/claim`, `HEAD wake`. */
  readonly name: string
  readonly atMs: number
  /** Of a JSON body. */
  readonly body: Readonly<Record<string, unknown>>
  readonly signal: AbortSignal | null | undefined
}

/** The subscription `jobs` of the streams `work/*` on the model server, behind a network without faults. */
export class CalmWorld {
  readonly server: SubscriptionModelServer
  readonly requests: SeenRequest[] = []
  readonly subscriptions: Subscriptions
  /** What a test puts in the place of the network. */
  respond: (request: SeenRequest, pass: () => Promise<Response>) => Promise<Response> = (_, pass) =>
    pass()
  readonly #network: FaultyNetwork

  constructor(readonly clock: VirtualClock) {
    const choices = { maxLatencyMs: 0, trickle: 0 }
    this.server = new SubscriptionModelServer(clock.server, "/v1/stream")
    this.#network = new FaultyNetwork({
      server: this.server,
      clock,
      random: new SeededRandom(1),
      choices,
    })
    this.subscriptions = new Subscriptions({ root: ROOT, fetch: this.fetch, warnOnRetry: false })
  }

  readonly fetch: typeof globalThis.fetch = (input, init) => {
    const { pathname } = new URL(String(input))
    const path = pathname.slice("/v1/stream/".length).replace("__ds/subscriptions/", "")
    const request: SeenRequest = {
      name: `${init?.method ?? "GET"} ${path}`,
      atMs: this.clock.elapsedMs,
      // The client has made it.
      body:
        typeof init?.body === "string" ? (JSON.parse(init.body) as Record<string, unknown>) : {},
      signal: init?.signal,
    }
    this.requests.push(request)
    return this.respond(request, () => this.#network.fetch(input, init))
  }

  /** The requests with a name, as far as a time. */
  seen(name: string): SeenRequest[] {
    return this.requests.filter((request) => request.name === name)
  }

  async put(path: string, body: object = {}): Promise<void> {
    await this.server.handle({
      method: "PUT",
      url: new URL(`${ROOT}/${path}`),
      headers: new Map([["content-type", "application/json"]]),
      body: new TextEncoder().encode(path.startsWith("__ds") ? JSON.stringify(body) : ""),
    })
  }

  /** A number for each stream. */
  async append(...paths: readonly string[]): Promise<void> {
    for (const path of paths) await this.server.append(path, [1])
  }
}

/** Runs in virtual time, with the streams `work/<name>`. */
export function inCalmWorld<T>(
  names: readonly string[],
  body: (world: CalmWorld) => Promise<T>,
  leaseTtlMs = 30_000,
  maxSteps = 50_000,
): Promise<VirtualRunReport<T>> {
  return runInVirtualTime({ maxSteps, stacks: false }, async (clock) => {
    const world = new CalmWorld(clock)
    await world.put("wake")
    for (const name of names) await world.put(`work/${name}`)
    const config = { type: "pull-wake", pattern: "work/*", wake_stream: "wake" }
    await world.put("__ds/subscriptions/jobs", { ...config, lease_ttl_ms: leaseTtlMs })
    return body(world)
  })
}
