import { textResponse, type ModelClock, type ModelRequest, type ModelResponse } from "./messages.ts"
import { offsetOf, positionOf } from "./offsets.ts"
import { ModelServer } from "./server.ts"

/** What a test sees and decides of the subscriptions. */
export interface SubscriptionHooks {
  /** How often the event of a wake is written: once; twice or never for a fault. */
  eventCount?: () => number
  /** Called with each acknowledgement that is stored. */
  onAck?: (path: string, position: number) => void
  /** Called when a lease expires that nobody ended. */
  onExpire?: (generation: number) => void
  /** Sends a wake to a webhook. */
  onWebhook?: (wake: ModelWake) => void
}

/** The body of a webhook's request. */
export interface ModelWake {
  subscription_id: string
  wake_id: string
  generation: number
  streams: unknown[]
  callback_url: string
  callback_token: string
}

interface Link {
  linkType: "glob" | "explicit"
  acked: number
  /** A stream that appears later is read from its start, which is `-1` until something is acknowledged. */
  isAtStart: boolean
}

interface Lease {
  worker: string
  token: string
  expiresMs: number
  cancelTimer: () => void
}

/** One subscription of the model. */
class ModelSubscription {
  readonly id: string
  readonly config: Record<string, unknown>
  readonly leaseTtlMs: number
  readonly links = new Map<string, Link>()
  generation = 0
  /** The generations that ended by done or release. */
  readonly ended = new Set<number>()
  /** An event was written and not claimed yet. */
  isWoken = false
  lease: Lease | undefined

  constructor(id: string, config: Record<string, unknown>) {
    this.id = id
    this.config = config
    this.leaseTtlMs = Number(config["lease_ttl_ms"] ?? 30_000)
  }

  get wakeId(): string {
    return `wake-${this.id}-${this.generation}`
  }
}

/**
 * The model server with the subscriptions of PROTOCOL.md, under the root `/v1/stream`. It keeps them over a restart, which ends
 * leases and connections only. `test/simulation/subscriptions/model-vs-reference.test.ts` checks it against the reference server.
 */
export class SubscriptionModelServer extends ModelServer {
  static readonly root = "/v1/stream"
  readonly hooks: SubscriptionHooks
  readonly #time: ModelClock
  readonly #subscriptions = new Map<string, ModelSubscription>()
  #tokens = 0

  constructor(clock: ModelClock, hooks: SubscriptionHooks = {}) {
    super(clock)
    this.#time = clock
    this.hooks = hooks
  }

  override async handle(request: ModelRequest): Promise<ModelResponse> {
    const prefix = `${SubscriptionModelServer.root}/__ds/subscriptions/`
    const { pathname } = request.url
    if (pathname.startsWith(prefix)) {
      const [id = "", ...rest] = pathname.slice(prefix.length).split("/").map(decodeURIComponent)
      return this.#route(request, id, rest)
    }
    const response = await super.handle(request)
    if (response.status < 300 && !["GET", "HEAD"].includes(request.method)) {
      this.#afterChange(pathname, request.method === "POST")
    }
    return response
  }

  /** Appends without a network. */
  async append(path: string, messages: readonly unknown[]): Promise<void> {
    await this.handle({
      method: "POST",
      url: new URL(`http://model.test${SubscriptionModelServer.root}/${path}`),
      headers: new Map([["content-type", "application/json"]]),
      body: new TextEncoder().encode(JSON.stringify(messages)),
    })
  }

  /** Where a stream of a subscription was handled up to. */
  acked(id: string, path: string): number {
    return this.#subscriptions.get(id)?.links.get(path)?.acked ?? -1
  }

  /** Whether the lease of a generation is still held, at this moment. */
  isHeld(id: string, generation: number): boolean {
    const subscription = this.#subscriptions.get(id)
    return subscription?.lease !== undefined && subscription.generation === generation
  }

  /** Time that passes for the server while the clients' machines sleep. */
  pass(ms: number): void {
    for (const subscription of this.#subscriptions.values()) {
      const { lease } = subscription
      if (lease !== undefined) this.#extend(subscription, lease, lease.expiresMs - ms)
    }
  }

  /** Whether a generation ended by a call of its holder. */
  wasEnded(id: string, generation: number): boolean {
    return this.#subscriptions.get(id)?.ended.has(generation) === true
  }

  /** Every lease ends. */
  endLeases(): void {
    for (const subscription of this.#subscriptions.values()) {
      if (subscription.lease !== undefined) this.#expire(subscription)
    }
  }

  #route(request: ModelRequest, id: string, [action, ...rest]: string[]): ModelResponse {
    const body = parseObject(request.body)
    const subscription = this.#subscriptions.get(id)
    if (request.method === "PUT") return this.#create(id, body, subscription)
    if (request.method === "DELETE" && action === undefined) {
      subscription?.lease?.cancelTimer()
      this.#subscriptions.delete(id)
      return textResponse(204, {})
    }
    if (subscription === undefined) return failure(404, "SUBSCRIPTION_NOT_FOUND")
    if (request.method === "GET") return json(200, this.#describe(subscription))
    if (action === "streams") return this.#changeLinks(request, subscription, body, rest.join("/"))
    if (action === "claim") return this.#claim(subscription, String(body["worker"]))
    return this.#withToken(request, subscription, body, action ?? "")
  }

  #create(
    id: string,
    config: Record<string, unknown>,
    existing: ModelSubscription | undefined,
  ): ModelResponse {
    if (existing !== undefined) {
      if (JSON.stringify(existing.config) !== JSON.stringify(config)) {
        return failure(409, "SUBSCRIPTION_ALREADY_EXISTS")
      }
      return json(200, this.#describe(existing))
    }
    const subscription = new ModelSubscription(id, config)
    this.#subscriptions.set(id, subscription)
    for (const path of this.#paths()) this.#link(subscription, path, false)
    for (const path of (config["streams"] ?? []) as string[]) {
      subscription.links.set(path, this.#newLink(path, "explicit"))
    }
    return json(201, this.#describe(subscription))
  }

  #changeLinks(
    request: ModelRequest,
    subscription: ModelSubscription,
    body: Record<string, unknown>,
    path: string,
  ): ModelResponse {
    const { links } = subscription
    if (request.method === "DELETE") {
      const link = links.get(path)
      const { pattern } = subscription.config
      if (link === undefined) return textResponse(204, {})
      const isFound = this.findStream(this.#pathname(path)) !== undefined
      if (isFound && typeof pattern === "string" && matches(pattern, path)) link.linkType = "glob"
      else links.delete(path)
    } else {
      for (const added of (body["streams"] ?? []) as string[]) {
        const link = links.get(added) ?? this.#newLink(added, "explicit")
        links.set(added, { ...link, linkType: "explicit" })
      }
    }
    return textResponse(204, {})
  }

  #claim(subscription: ModelSubscription, worker: string): ModelResponse {
    const { lease } = subscription
    if (lease !== undefined) {
      return failure(409, "ALREADY_CLAIMED", {
        current_holder: lease.worker,
        generation: subscription.generation,
      })
    }
    if (!this.#hasWork(subscription)) return failure(409, "NO_PENDING_WORK")
    if (!subscription.isWoken) subscription.generation++
    const granted = this.#grant(subscription, worker)
    return json(200, {
      wake_id: subscription.wakeId,
      generation: subscription.generation,
      token: granted.token,
      streams: this.#snapshot(subscription),
      lease_ttl_ms: subscription.leaseTtlMs,
    })
  }

  #grant(subscription: ModelSubscription, worker: string): Lease {
    subscription.isWoken = false
    const token = `token-${++this.#tokens}`
    const lease: Lease = { worker, token, expiresMs: 0, cancelTimer: () => undefined }
    subscription.lease = lease
    this.#extend(subscription, lease, this.#time.now() + subscription.leaseTtlMs)
    return lease
  }

  #withToken(
    request: ModelRequest,
    subscription: ModelSubscription,
    body: Record<string, unknown>,
    action: string,
  ): ModelResponse {
    const token = request.headers.get("authorization")?.replace(/^Bearer /, "")
    if (token === undefined || !/^token-\d+$/.test(token)) return failure(401, "TOKEN_INVALID")
    const { lease } = subscription
    const isCurrent =
      lease?.token === token &&
      body["wake_id"] === subscription.wakeId &&
      body["generation"] === subscription.generation
    if (!isCurrent || lease === undefined) return failure(409, "FENCED")
    if (action === "release" || body["done"] === true)
      subscription.ended.add(subscription.generation)
    if (action === "release") {
      this.#end(subscription)
      return textResponse(204, {})
    }
    const acks = (body["acks"] ?? []) as { stream: string; offset: string }[]
    const positions = acks.map(({ stream, offset }) =>
      this.#ackedPosition(subscription, stream, offset),
    )
    if (positions.includes(undefined)) return failure(409, "INVALID_OFFSET")
    acks.forEach(({ stream }, index) => {
      const link = subscription.links.get(stream)
      const position = positions[index]
      if (link === undefined || position === undefined) return
      link.acked = position
      link.isAtStart = false
      this.hooks.onAck?.(stream, position)
    })
    if (body["done"] === true) {
      return json(200, { ok: true, next_wake: this.#end(subscription) })
    }
    this.#extend(subscription, lease, this.#time.now() + subscription.leaseTtlMs)
    return json(200, { ok: true, next_wake: false })
  }

  #ackedPosition({ links }: ModelSubscription, path: string, offset: string): number | undefined {
    const link = links.get(path)
    const stream = this.findStream(this.#pathname(path))
    const position = offset === "-1" ? undefined : positionOf(offset)
    if (link === undefined || stream === undefined || position === undefined) return undefined
    return position < link.acked || position > stream.length ? undefined : position
  }

  #extend(subscription: ModelSubscription, lease: Lease, expiresMs: number): void {
    lease.cancelTimer()
    lease.expiresMs = expiresMs
    lease.cancelTimer = this.#time.after(Math.max(0, expiresMs - this.#time.now()), () => {
      if (subscription.lease === lease) this.#expire(subscription)
    })
  }

  #expire(subscription: ModelSubscription): void {
    this.hooks.onExpire?.(subscription.generation)
    this.#end(subscription)
  }

  /** @returns whether another wake follows */
  #end(subscription: ModelSubscription): boolean {
    subscription.lease?.cancelTimer()
    subscription.lease = undefined
    return this.#wake(subscription)
  }

  /** Wakes if there is work that nobody holds and no event is outstanding. @returns whether it did */
  #wake(subscription: ModelSubscription): boolean {
    if (subscription.lease !== undefined || subscription.isWoken) return false
    const pending = [...subscription.links].find(([path, link]) => this.#isPending(path, link))
    if (pending === undefined) return false
    subscription.generation++
    if (subscription.config["type"] === "webhook") {
      const { token } = this.#grant(subscription, "webhook")
      this.hooks.onWebhook?.({
        subscription_id: subscription.id,
        wake_id: subscription.wakeId,
        generation: subscription.generation,
        streams: this.#snapshot(subscription),
        callback_url: "http://unreachable.test/",
        callback_token: token,
      })
      return true
    }
    subscription.isWoken = true
    const wakeStream = this.findStream(this.#pathname(String(subscription.config["wake_stream"])))
    if (wakeStream === undefined) return true
    const event = {
      type: "wake",
      subscription_id: subscription.id,
      stream: pending[0],
      generation: subscription.generation,
      ts: this.#time.now(),
    }
    const count = this.hooks.eventCount?.() ?? 1
    for (let index = 0; index < count; index++) {
      wakeStream.append(new TextEncoder().encode(JSON.stringify(event)))
    }
    wakeStream.changed()
    return true
  }

  #afterChange(pathname: string, isAppend: boolean): void {
    const path = pathname.slice(SubscriptionModelServer.root.length + 1)
    for (const subscription of this.#subscriptions.values()) {
      // A stream is found by its first append.
      if (isAppend) this.#link(subscription, path, true)
      if (!subscription.links.has(path)) continue
      if (this.findStream(pathname) === undefined) {
        subscription.links.delete(path)
      } else this.#wake(subscription)
    }
  }

  #link(subscription: ModelSubscription, path: string, isNew: boolean): void {
    const { pattern } = subscription.config
    if (typeof pattern !== "string" || subscription.links.has(path)) return
    if (!matches(pattern, path) || this.findStream(this.#pathname(path)) === undefined) return
    const link = this.#newLink(path, "glob")
    subscription.links.set(path, isNew ? { ...link, acked: 0, isAtStart: true } : link)
  }

  #newLink(path: string, linkType: Link["linkType"]): Link {
    const stream = this.findStream(this.#pathname(path))
    return { linkType, acked: stream?.length ?? 0, isAtStart: false }
  }

  #paths(): string[] {
    return this.streamPaths().map((path) => path.slice(SubscriptionModelServer.root.length + 1))
  }

  #hasWork({ links }: ModelSubscription): boolean {
    return [...links].some(([path, link]) => this.#isPending(path, link))
  }

  #isPending(path: string, { acked }: Link): boolean {
    const stream = this.findStream(this.#pathname(path))
    return stream !== undefined && !stream.deleted && stream.length > acked
  }

  #pathname(path: string): string {
    return `${SubscriptionModelServer.root}/${path}`
  }

  #snapshot({ links }: ModelSubscription): unknown[] {
    return [...links].map(([path, link]) => ({
      path,
      link_type: link.linkType,
      acked_offset: ackedOffset(link),
      tail_offset: offsetOf(this.findStream(this.#pathname(path))?.length ?? 0),
      has_pending: this.#isPending(path, link),
    }))
  }

  #describe({ id, config, links, leaseTtlMs }: ModelSubscription): unknown {
    return {
      ...config,
      id,
      subscription_id: id,
      lease_ttl_ms: leaseTtlMs,
      status: "active",
      streams: [...links].map(([path, link]) => ({
        path,
        link_type: link.linkType,
        acked_offset: ackedOffset(link),
      })),
    }
  }
}

function ackedOffset({ acked, isAtStart }: Link): string {
  return isAtStart ? "-1" : offsetOf(acked)
}

function matches(pattern: string, path: string): boolean {
  const source = pattern
    .split("/")
    .map((part) => (part === "**" ? ".*" : part.replace(/\*/g, "[^/]*")))
    .join("/")
  return new RegExp(`^${source}$`).test(path)
}

function parseObject(body: Uint8Array): Record<string, unknown> {
  if (body.length === 0) return {}
  // The client sends objects only.
  return JSON.parse(new TextDecoder().decode(body)) as Record<string, unknown>
}

function json(status: number, value: unknown): ModelResponse {
  return textResponse(status, { "content-type": "application/json" }, JSON.stringify(value))
}

function failure(status: number, code: string, fields: object = {}): ModelResponse {
  return json(status, { error: { code, message: code, ...fields } })
}
