import {
  errorResponse,
  textResponse,
  type ModelClock,
  type ModelRequest,
  type ModelResponse,
} from "./messages.ts"
import { offsetOf, positionOf } from "./offsets.ts"
import {
  ackedOffset,
  matches,
  ModelSubscription,
  type Lease,
  type Link,
} from "./model-subscription.ts"
import { ModelServer, type ServerChoices } from "./server.ts"
import {
  isFields,
  parseConfig,
  parseFields,
  stringsOf,
  type Fields,
} from "./subscription-config.ts"

/** What a test sees and decides of the subscriptions. */
export interface SubscriptionHooks {
  /** How often the event of a wake is written: once; twice or never for a fault. */
  eventCount?: () => number
  /** Called with each acknowledgement that is stored. */
  onAck?: (path: string, position: number) => void
  /** Called when a lease expires that nobody ended. */
  onExpire?: (generation: number) => void
  /** Sends a wake to the URL of a webhook. */
  onWebhook?: (wake: ModelWake, url: string) => void
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

/** The id of the key that signs webhooks. */
export const WEBHOOK_KEY_ID = "test-server"

/**
 * The model server with the subscriptions of PROTOCOL.md under a root. It keeps them over a restart, which ends
 * leases and connections only. `test/simulation/subscriptions/model-vs-reference.test.ts` checks it against the reference server.
 */
export class SubscriptionModelServer extends ModelServer {
  readonly hooks: SubscriptionHooks
  readonly #root: string
  readonly #time: ModelClock
  readonly #subscriptions = new Map<string, ModelSubscription>()
  #tokens = 0

  /** @param root - the path under which streams have their names in subscriptions, without a slash at its end */
  constructor(
    clock: ModelClock,
    root: string,
    hooks: SubscriptionHooks = {},
    choices: Partial<ServerChoices> = {},
  ) {
    super(clock, choices)
    this.#time = clock
    this.#root = root
    this.hooks = hooks
  }

  override async handle(request: ModelRequest): Promise<ModelResponse> {
    const prefix = `${this.#root}/__ds/`
    const { pathname } = request.url
    if (pathname.startsWith(prefix)) {
      const [area, id = "", ...rest] = pathname.slice(prefix.length).split("/").map(decodePath)
      if (area !== "subscriptions" || id === "") return failure(404, "SUBSCRIPTION_NOT_FOUND")
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
      url: new URL(`http://model.test${this.#root}/${path}`),
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

  /** A webhook responded that the wake is done. The server takes that for the current wake, whichever it is. */
  finishWake(id: string): void {
    const subscription = this.#subscriptions.get(id)
    const { lease } = subscription ?? {}
    if (subscription === undefined || lease === undefined) return
    for (const [path, tail] of lease.tails) this.#ack(subscription, path, tail)
    subscription.ended.add(subscription.generation)
    this.#end(subscription)
  }

  #route(request: ModelRequest, id: string, [action, ...rest]: string[]): ModelResponse {
    const body = parseFields(request.body)
    if (body === undefined) return failure(400, "INVALID_REQUEST")
    const subscription = this.#subscriptions.get(id)
    if (request.method === "PUT") return this.#create(request.url, id, body, subscription)
    if (request.method === "DELETE" && action === undefined) {
      subscription?.lease?.cancelTimer()
      this.#subscriptions.delete(id)
      return textResponse(204, {})
    }
    if (subscription === undefined) return failure(404, "SUBSCRIPTION_NOT_FOUND")
    if (request.method === "GET") return json(200, this.#describe(subscription))
    switch (action) {
      case "streams":
        return this.#changeLinks(request, subscription, body, rest.join("/"))
      case "claim":
        return this.#claim(subscription, body["worker"])
      case "ack":
      case "callback":
      case "release":
        return this.#withToken(request, subscription, body, action)
      case undefined:
        return errorResponse(405, "Method not allowed")
      default:
        return failure(404, "SUBSCRIPTION_NOT_FOUND")
    }
  }

  #create(
    { origin }: URL,
    id: string,
    body: Fields,
    existing: ModelSubscription | undefined,
  ): ModelResponse {
    const config = parseConfig(body)
    if (typeof config === "string") return failure(400, config)
    if (existing !== undefined) {
      if (JSON.stringify(existing.config) !== JSON.stringify(config)) {
        return failure(409, "SUBSCRIPTION_ALREADY_EXISTS")
      }
      return json(200, this.#describe(existing))
    }
    const subscription = new ModelSubscription(id, config, origin, this.#time.now())
    this.#subscriptions.set(id, subscription)
    for (const path of this.#paths()) this.#link(subscription, path, false)
    for (const path of config.streams) {
      subscription.links.set(path, this.#newLink(path, "explicit"))
    }
    return json(201, this.#describe(subscription))
  }

  #changeLinks(
    request: ModelRequest,
    subscription: ModelSubscription,
    body: Fields,
    path: string,
  ): ModelResponse {
    const { links } = subscription
    if (request.method === "DELETE") {
      const link = links.get(path)
      const { pattern } = subscription.config
      if (link === undefined) return textResponse(204, {})
      const isFound = this.findStream(this.#pathname(path)) !== undefined
      if (isFound && pattern !== undefined && matches(pattern, path)) link.linkType = "glob"
      else links.delete(path)
    } else {
      const paths = stringsOf(body["streams"])
      if (paths === undefined) return failure(400, "INVALID_REQUEST")
      for (const added of paths) {
        const link = links.get(added) ?? this.#newLink(added, "explicit")
        links.set(added, { ...link, linkType: "explicit" })
      }
    }
    return textResponse(204, {})
  }

  #claim(subscription: ModelSubscription, worker: unknown): ModelResponse {
    if (typeof worker !== "string" || worker === "") return failure(400, "INVALID_REQUEST")
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
      lease_ttl_ms: subscription.config.leaseTtlMs,
    })
  }

  #grant(subscription: ModelSubscription, worker: string): Lease {
    subscription.isWoken = false
    const token = `token-${++this.#tokens}`
    const tails = new Map(
      [...subscription.links.keys()].map((path) => [path, this.#tailOf(path)] as const),
    )
    const lease: Lease = { worker, token, tails, expiresMs: 0, cancelTimer: () => undefined }
    subscription.lease = lease
    this.#extend(subscription, lease, this.#time.now() + subscription.config.leaseTtlMs)
    return lease
  }

  #withToken(
    request: ModelRequest,
    subscription: ModelSubscription,
    body: Fields,
    action: string,
  ): ModelResponse {
    const token = request.headers.get("authorization")?.replace(/^Bearer /, "")
    if (token === undefined || !/^token-\d+$/.test(token)) return failure(401, "TOKEN_INVALID")
    const { lease } = subscription
    const isCurrent =
      body["wake_id"] === subscription.wakeId && body["generation"] === subscription.generation
    if (!isCurrent || lease?.token !== token) return failure(409, "FENCED")
    if (action === "release" || body["done"] === true)
      subscription.ended.add(subscription.generation)
    if (action === "release") {
      this.#end(subscription)
      return textResponse(204, {})
    }
    const acks: unknown[] = Array.isArray(body["acks"]) ? body["acks"] : []
    const valid = acks.map((ack) => this.#checkAck(subscription, ack))
    if (valid.includes(undefined)) return failure(409, "INVALID_OFFSET")
    for (const ack of valid) if (ack) this.#ack(subscription, ack.path, ack.position)
    if (body["done"] === true) {
      return json(200, { ok: true, next_wake: this.#end(subscription) })
    }
    this.#extend(subscription, lease, this.#time.now() + subscription.config.leaseTtlMs)
    return json(200, { ok: true, next_wake: false })
  }

  /** Where an ack of a request acknowledges which stream; undefined if it is not valid. */
  #checkAck(
    { links }: ModelSubscription,
    ack: unknown,
  ): { path: string; position: number } | undefined {
    if (!isFields(ack)) return undefined
    const path = String(ack["stream"])
    const offset = String(ack["offset"])
    const link = links.get(path)
    const stream = this.findStream(this.#pathname(path))
    const position = offset === "-1" ? undefined : positionOf(offset)
    if (link === undefined || stream === undefined || position === undefined) return undefined
    return position < link.acked || position > stream.length ? undefined : { path, position }
  }

  #ack({ links }: ModelSubscription, path: string, position: number): void {
    const link = links.get(path)
    if (link === undefined) return
    link.acked = position
    link.isAtStart = false
    this.hooks.onAck?.(path, position)
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
    const { webhookUrl, wakeStreamPath = "" } = subscription.config
    if (webhookUrl !== undefined) {
      this.#sendWebhook(subscription, webhookUrl)
      return true
    }
    subscription.isWoken = true
    const wakeStream = this.findStream(this.#pathname(wakeStreamPath))
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

  #sendWebhook(subscription: ModelSubscription, url: string): void {
    const { id, origin, wakeId, generation } = subscription
    const { token } = this.#grant(subscription, "webhook")
    const wake = {
      subscription_id: id,
      wake_id: wakeId,
      generation,
      streams: this.#snapshot(subscription),
      callback_url: `${origin}${this.#root}/__ds/subscriptions/${encodeURIComponent(id)}/callback`,
      callback_token: token,
    }
    this.hooks.onWebhook?.(wake, url)
  }

  #afterChange(pathname: string, isAppend: boolean): void {
    const path = pathname.slice(this.#root.length + 1)
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
    if (pattern === undefined || subscription.links.has(path)) return
    if (!matches(pattern, path) || this.findStream(this.#pathname(path)) === undefined) return
    const link = this.#newLink(path, "glob")
    subscription.links.set(path, isNew ? { ...link, acked: 0, isAtStart: true } : link)
  }

  #newLink(path: string, linkType: Link["linkType"]): Link {
    const stream = this.findStream(this.#pathname(path))
    return { linkType, acked: stream?.length ?? 0, isAtStart: false }
  }

  #paths(): string[] {
    const prefix = `${this.#root}/`
    return this.streamPaths()
      .filter((path) => path.startsWith(prefix))
      .map((path) => path.slice(prefix.length))
  }

  #hasWork({ links }: ModelSubscription): boolean {
    return [...links].some(([path, link]) => this.#isPending(path, link))
  }

  #isPending(path: string, { acked }: Link): boolean {
    const stream = this.findStream(this.#pathname(path))
    return stream !== undefined && !stream.deleted && stream.length > acked
  }

  #pathname(path: string): string {
    return `${this.#root}/${path}`
  }

  #tailOf(path: string): number {
    return this.findStream(this.#pathname(path))?.length ?? 0
  }

  #snapshot({ links }: ModelSubscription): unknown[] {
    return [...links].map(([path, link]) => ({
      path,
      link_type: link.linkType,
      acked_offset: ackedOffset(link),
      tail_offset: offsetOf(this.#tailOf(path)),
      has_pending: this.#isPending(path, link),
    }))
  }

  #describe({ id, config, links, origin, createdAt }: ModelSubscription): unknown {
    const { webhookUrl: url, wakeStreamPath, pattern, description } = config
    const jwksUrl = `${origin}${this.#root}/__ds/jwks.json`
    const signing = { alg: "ed25519", kid: WEBHOOK_KEY_ID, jwks_url: jwksUrl }
    return {
      id,
      subscription_id: id,
      type: url === undefined ? "pull-wake" : "webhook",
      ...(pattern !== undefined && { pattern }),
      ...(url === undefined ? { wake_stream: wakeStreamPath } : { webhook: { url, signing } }),
      ...(description !== undefined && { description }),
      lease_ttl_ms: config.leaseTtlMs,
      created_at: createdAt,
      status: "active",
      streams: [...links].map(([path, link]) => ({
        path,
        link_type: link.linkType,
        acked_offset: ackedOffset(link),
      })),
    }
  }
}

function decodePath(segment: string): string {
  try {
    return decodeURIComponent(segment)
  } catch {
    return segment
  }
}

function json(status: number, value: unknown): ModelResponse {
  return textResponse(status, { "content-type": "application/json" }, JSON.stringify(value))
}

function failure(status: number, code: string, fields: object = {}): ModelResponse {
  return json(status, { error: { code, message: code, ...fields } })
}
