import { drawFault, type FaultName, type FaultOdds, type FaultPlan } from "./faults.ts"
import { Exchange } from "./exchange.ts"
import { foreignResponse, responseInstead, distort } from "./responses.ts"
import type { ModelResponse, ModelClock, ModelRequest } from "../../../src/testing/messages.ts"
import type { ModelServer } from "../../../src/testing/server.ts"
import { leakOf, type RequestRecord } from "./request-record.ts"
import { readBody, readHead, type RequestHead } from "../../../src/testing/fetch-request.ts"
import type { SeededRandom } from "../seeded-random.ts"

/** Times are those of the servers. */
type NetworkClock = ModelClock & { readonly elapsedMs: number; readonly server: ModelClock }

/** How a {@link FaultyNetwork} behaves. All of it may be changed while it runs. */
export interface NetworkChoices {
  /** Faults that stop when the network heals. */
  faults: FaultOdds
  /** Faults that never stop (a proxy that holds back events does not heal). */
  lastingFaults: FaultOdds
  /** What happens to the first request. */
  firstFault: FaultName | undefined
  /** Longest time to the server, and back again. */
  maxLatencyMs: number
  /** How late a straggler may arrive. */
  maxStragglerMs: number
  /** How likely a hanging request does not notice an abort. */
  ignoreAbort: number
  /** How likely a request that is aborted on its way reaches the server all the same. */
  surviveAbort: number
  /** How likely a body comes in pieces, and in slow pieces. */
  split: number
  trickle: number
}

/** The defaults: no faults. */
const CALM_NETWORK: NetworkChoices = {
  faults: {},
  lastingFaults: {},
  firstFault: undefined,
  maxLatencyMs: 20,
  maxStragglerMs: 60_000,
  ignoreAbort: 0.3,
  surviveAbort: 0,
  split: 0.2,
  trickle: 0.05,
}

/** The network as one process sees it. */
export interface NetworkClient {
  readonly fetch: typeof globalThis.fetch
  /** The process dies: no response reaches it any more. Its requests on the way may still arrive at the server. */
  abandon(): void
}

/**
 * A `fetch` that reaches the model server over a network with seeded faults, in the time of its clock. Aborts are honoured
 * as `fetch` honours them; every request is recorded.
 */
export class FaultyNetwork {
  readonly records: RequestRecord[] = []
  readonly choices: NetworkChoices
  readonly #server: ModelServer
  readonly #clock: NetworkClock
  readonly #random: SeededRandom
  readonly #open = new Set<Exchange>()
  readonly #cache = new Map<string, ModelResponse>()
  #healed = false

  constructor(fields: {
    server: ModelServer
    clock: NetworkClock
    random: SeededRandom
    choices?: Partial<NetworkChoices>
  }) {
    this.#server = fields.server
    this.#clock = fields.clock
    this.#random = fields.random
    this.choices = { ...CALM_NETWORK, ...fields.choices }
  }

  /** To be given to the client as its `fetch`. */
  readonly fetch: typeof globalThis.fetch = (input, init) => this.#send(input, init, undefined)

  /** A `fetch` for one process, and the process's death. */
  client(): NetworkClient {
    const own = new Set<Exchange>()
    let isGone = false
    return {
      fetch: (input, init) =>
        isGone ? new Promise<never>(() => undefined) : this.#send(input, init, own),
      abandon: () => {
        isGone = true
        for (const exchange of [...own]) exchange.abandon()
      },
    }
  }

  /** From now on nothing goes wrong any more, but for the lasting faults. */
  heal(): void {
    this.#healed = true
  }

  /** Every open connection is reset (a server restart, a network change). */
  resetAll(): void {
    for (const exchange of [...this.#open]) exchange.fail(new TypeError("fetch failed"))
  }

  /** Every open connection goes silent without an end (a laptop that slept); the result is how many there were. */
  stallAll(): number {
    for (const exchange of [...this.#open]) exchange.stall()
    return this.#open.size
  }

  /** What the requests so far have left behind; empty when all is well. */
  leaks(): string[] {
    return this.records.map(leakOf).filter((leak) => leak !== undefined)
  }

  async #send(
    input: string | URL | Request,
    init: RequestInit | undefined,
    own: Set<Exchange> | undefined,
  ): Promise<Response> {
    const signal = init?.signal ?? undefined
    signal?.throwIfAborted()
    const head = readHead(input, init)
    const [, offset = ""] = /[?&]offset=([^&#]*)/.exec(String(input)) ?? []
    if (offset !== encodeURIComponent(decodeURIComponent(offset))) {
      throw new Error(`a request has an offset that is not encoded: ${offset}`)
    }
    const record = this.#record(head)
    const plan = this.#plan(head, record)
    return new Promise<Response>((resolve, reject) => {
      const exchange = new Exchange({ record, plan, signal, clock: this.#clock, resolve, reject })
      this.#open.add(exchange)
      own?.add(exchange)
      exchange.whenOver(() => {
        this.#open.delete(exchange)
        own?.delete(exchange)
      })
      readBody(input, init).then(
        (body) => this.#carry(exchange, { ...head, body }),
        (error: unknown) => exchange.fail(error),
      )
    })
  }

  #record(request: RequestHead): RequestRecord {
    const record: RequestRecord = {
      id: this.records.length,
      atMs: this.#clock.elapsedMs,
      method: request.method,
      url: request.url.href,
      offset: request.url.searchParams.get("offset") ?? undefined,
      live: request.url.searchParams.get("live") ?? undefined,
      fault: undefined,
      outcome: "pending",
      status: undefined,
      body: "none",
      aborted: false,
      readBytes: 0,
      nextOffset: undefined,
      moved: false,
    }
    this.records.push(record)
    return record
  }

  #plan(request: RequestHead, record: RequestRecord): FaultPlan {
    const { choices } = this
    const random = this.#random.fork()
    const healing = this.#healed ? undefined : drawFault(random, choices.faults, request)
    const isFirst = record.id === 0 && choices.firstFault !== undefined
    const lasting = drawFault(random, choices.lastingFaults, request)
    const fault = isFirst ? choices.firstFault : (lasting ?? healing)
    record.fault = fault
    const pace = random.chance(choices.trickle) ? "trickle" : "whole"
    return {
      fault,
      thereMs: random.int(0, choices.maxLatencyMs),
      backMs: random.int(0, choices.maxLatencyMs),
      ignoresAbort: random.chance(choices.ignoreAbort),
      survivesAbort: random.chance(choices.surviveAbort),
      pace: random.chance(choices.split) ? "split" : pace,
      dice: () => random.next(),
    }
  }

  async #carry(exchange: Exchange, request: ModelRequest): Promise<void> {
    const { plan } = exchange
    if (!(await exchange.travelThere())) return
    if (plan.fault === "straggler" || plan.fault === "duplicate") this.#deliverLate(plan, request)
    if (plan.fault === "drop-before" || plan.fault === "straggler") {
      return exchange.fail(new TypeError("fetch failed"))
    }
    if (plan.fault === "refused") return exchange.fail(refusedConnection())
    if (plan.fault === "hang-before-headers" && plan.dice() < 0.5) return exchange.hang()
    const response = await this.#respondTo(plan, request)
    if (plan.fault === "hang-before-headers") return exchange.hang()
    if (!(await exchange.travelBack())) return
    if (plan.fault === "drop-after") return exchange.fail(new TypeError("fetch failed"))
    exchange.record.moved = hasMoved(exchange.record, response)
    const distorted = distort(plan, request, response)
    exchange.record.nextOffset = distorted.headers["stream-next-offset"]?.split(", ")[0]
    exchange.respond(distorted)
  }

  async #respondTo(plan: FaultPlan, request: ModelRequest): Promise<ModelResponse> {
    const stream = this.#server.findStream(request.url.pathname)
    const instead = responseInstead(plan, request, stream, this.#clock.server.now())
    if (instead) return instead
    const cached = plan.fault === "cached-page" ? this.#cache.get(request.url.href) : undefined
    if (cached) return cached
    if (plan.fault === "gateway" && plan.dice() < 0.5) return gatewayResponse(plan)
    // Nothing comes between the two: a client cannot detect that its first request was stored and its second one fenced.
    if (plan.fault === "resent") void this.#server.handle(request)
    const response = await this.#server.handle(
      plan.fault === "sse-as-page" ? asPage(request) : request,
    )
    if (plan.fault === "gateway") return gatewayResponse(plan)
    if (plan.fault === "foreign-2xx") return foreignResponse(plan)
    const isPage =
      request.method === "GET" && response.status === 200 && response.body.kind === "bytes"
    if (isPage && !request.url.searchParams.has("live")) this.#cache.set(request.url.href, response)
    return response
  }

  /** A copy of the request reaches the server much later. */
  #deliverLate(plan: FaultPlan, request: ModelRequest): void {
    const delayMs = Math.floor(plan.dice() * this.choices.maxStragglerMs)
    this.#clock.after(delayMs, () => void this.#server.handle(request))
  }
}

function refusedConnection(): Error {
  const cause = Object.assign(new Error("connect ECONNREFUSED 127.0.0.1:80"), {
    code: "ECONNREFUSED",
  })
  return new TypeError("fetch failed", { cause })
}

function gatewayResponse(plan: FaultPlan): ModelResponse {
  const status = plan.dice() < 0.5 ? 502 : 504
  const bytes = new TextEncoder().encode("<html>Bad gateway</html>")
  return { status, headers: { "content-type": "text/html" }, body: { kind: "bytes", bytes } }
}

/** A proxy that knows nothing of events asks for the same offset without `live`. */
function asPage(request: ModelRequest): ModelRequest {
  const url = new URL(request.url)
  url.searchParams.delete("live")
  return { ...request, url }
}

function hasMoved(record: RequestRecord, response: ModelResponse): boolean {
  if (response.status >= 300) return false
  const next = response.headers["stream-next-offset"]
  return response.body.kind === "live" || (next !== undefined && next !== record.offset)
}
