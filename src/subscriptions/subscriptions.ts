import { badOption, checkObject } from "../http/option-checks.ts"
import { randomId } from "../platform/random-id.ts"
import { Claim, leaseTime } from "./claim.ts"
import { errorOfServer, notSupported, type SubscriptionError } from "./subscription-error.ts"
import {
  checkPath,
  StreamRoot,
  type RootRequest,
  type RootResponse,
  type SubscriptionsOptions,
} from "./subscriptions-request.ts"
import {
  checkLeaseMs,
  configToJson,
  isJsonObject,
  parseClaimedStreams,
  parseLeaseMs,
  parseSubscription,
  type Subscription,
  type SubscriptionConfig,
} from "./subscription.ts"

/** Who holds a subscription that could not be claimed. */
export interface CurrentHolder {
  kind: "held"
  /** The holder's name, with its process's suffix. */
  currentHolder: string
  generation?: number
  /** Whether the name is the caller's own: an earlier claim's response was lost, or another claim of this process lives. */
  isOwn: boolean
}

/** The options of {@link Subscriptions.claim}. */
export interface ClaimOptions {
  /** The worker's name, for people. Each process adds a random suffix of its own. */
  worker: string
  /** Ends the request. The claim that it brought is the caller's to release. */
  signal?: AbortSignal | undefined
}

/**
 * The subscriptions of one server: which workers process which streams.
 *
 * @example
 * ```ts no-run
 * // Needs a server with subscriptions.
 * import { Subscriptions } from "@durable-streams/client/subscriptions"
 *
 * const subscriptions = new Subscriptions({ root: "https://streams.example.com/v1/stream" })
 * await subscriptions.create("orders", { type: "pull-wake", pattern: "orders/*", wakeStream: "orders-wake" })
 * const claim = await subscriptions.claim("orders", { worker: "packer" })
 * if (claim?.kind === "claimed") await claim.release()
 * ```
 */
export class Subscriptions {
  /** @internal */
  readonly root: StreamRoot

  /**
   * No I/O.
   *
   * @throws DurableStreamError `BAD_REQUEST` that names the option
   */
  constructor(options: SubscriptionsOptions) {
    checkObject("options", options)
    this.root = new StreamRoot(options)
  }

  /**
   * Creates a subscription, or finds it with the same configuration. Retried: creating twice is creating once.
   *
   * @param id - its name on the server
   * @throws SubscriptionError `SUBSCRIPTION_EXISTS` if the id has another configuration; `SUBSCRIPTIONS_NOT_SUPPORTED` if the
   *   response is not that of a server with subscriptions; `BAD_REQUEST`, `WEBHOOK_URL_REJECTED`
   */
  async create(
    id: string,
    config: SubscriptionConfig,
  ): Promise<{ kind: "created" | "existing"; subscription: Subscription }> {
    checkConfig(config)
    const subject = this.#subject(id)
    const response = await this.#request(id, {
      method: "PUT",
      retry: "idempotent",
      body: configToJson(config),
    })
    const subscription = this.#parse(id, response)
    if (subscription === undefined) {
      const hint = ` A stream may have been created at ${this.root.routeUrl(["subscriptions", id])}.`
      throw failureOf(subject, response, response.status < 300 ? hint : "")
    }
    return { kind: response.status === 201 ? "created" : "existing", subscription }
  }

  /**
   * The subscription as the server has it.
   *
   * @param id - its name on the server
   * @param options - `signal`: ends the request
   * @throws SubscriptionError `SUBSCRIPTION_NOT_FOUND`, `SUBSCRIPTIONS_NOT_SUPPORTED`
   */
  async get(
    id: string,
    { signal }: { signal?: AbortSignal | undefined } = {},
  ): Promise<Subscription> {
    const response = await this.#request(id, { method: "GET", retry: "idempotent", signal })
    const subscription = this.#parse(id, response)
    if (subscription === undefined) throw failureOf(this.#subject(id), response)
    return subscription
  }

  /** Deletes the subscription. Resolves also if there is none. */
  async delete(id: string): Promise<void> {
    await this.#expectSuccess(id, { method: "DELETE", retry: "idempotent" })
  }

  /**
   * Links streams. Streams that exist are read from their tail, those that are created later from their start. Linking twice is
   * linking once.
   */
  async addStreams(id: string, paths: readonly string[]): Promise<void> {
    checkPaths("paths", paths)
    await this.#expectSuccess(
      id,
      { method: "POST", retry: "idempotent", body: { streams: paths } },
      ["streams"],
    )
  }

  /** Unlinks a stream. Resolves also if it was not linked. */
  async removeStream(id: string, path: string): Promise<void> {
    checkPaths("path", [path])
    await this.#expectSuccess(id, { method: "DELETE", retry: "idempotent" }, ["streams", path])
  }

  /**
   * Claims the subscription's pending work. Not retried after a lost response: the server has granted the claim then, and
   * says so for as long as its lease lasts.
   *
   * @returns the claim; undefined if there is no work; or who holds the subscription
   * @throws SubscriptionError `SUBSCRIPTION_NOT_FOUND`, `SUBSCRIPTIONS_NOT_SUPPORTED`; FetchError, indeterminate if the claim
   *   may have been granted
   */
  async claim(id: string, options: ClaimOptions): Promise<Claim | CurrentHolder | undefined> {
    const worker = workerName(options.worker)
    const { signal } = options
    const sentAt = leaseTime()
    const response = await this.#request(
      id,
      { method: "POST", retry: "not-processed", body: { worker }, signal },
      ["claim"],
    )
    const { status, json, error } = response
    if (status === 200 && isJsonObject(json)) {
      const { wake_id: wakeId, generation, token, streams, lease_ttl_ms: leaseTtlMs } = json
      if (
        typeof wakeId === "string" &&
        typeof token === "string" &&
        typeof generation === "number"
      ) {
        return new Claim({
          root: this.root,
          subscriptionId: id,
          wakeId,
          generation,
          token,
          streams: parseClaimedStreams(streams),
          leaseTtlMs: parseLeaseMs(leaseTtlMs),
          sentAt,
          route: "ack",
        })
      }
    }
    if (error?.code === "ALREADY_CLAIMED") {
      const currentHolder = String(error.fields["current_holder"])
      const { generation } = error.fields
      return {
        kind: "held",
        currentHolder,
        isOwn: currentHolder === worker,
        ...(typeof generation === "number" && { generation }),
      }
    }
    if (error?.code === "NO_PENDING_WORK") return undefined
    if (status === 204 || (status === 404 && error?.code !== "SUBSCRIPTION_NOT_FOUND")) {
      // Servers say so, too, if there is no work: one that has the subscription does.
      await this.get(id, { signal })
      return undefined
    }
    throw failureOf(this.#subject(id), response)
  }

  #request(
    id: string,
    request: Omit<RootRequest, "path">,
    path: readonly string[] = [],
  ): Promise<RootResponse> {
    checkId(id)
    return this.root.request({ ...request, path: ["subscriptions", id, ...path] })
  }

  async #expectSuccess(
    id: string,
    request: Omit<RootRequest, "path">,
    path?: readonly string[],
  ): Promise<void> {
    const response = await this.#request(id, request, path)
    if (response.status >= 300) throw failureOf(this.#subject(id), response)
  }

  #parse(id: string, { status, json }: RootResponse): Subscription | undefined {
    const subscription = status < 300 ? parseSubscription(json) : undefined
    return subscription?.id === id ? subscription : undefined
  }

  #subject(id: string): string {
    return `Subscription ${id} at ${this.root.name}`
  }
}

function failureOf(
  subject: string,
  { status, error }: RootResponse,
  hint?: string,
): SubscriptionError {
  return error === undefined
    ? notSupported(subject, status, hint)
    : errorOfServer(subject, status, error)
}

let processSuffix: string | undefined

/** A worker's name with the suffix of this process: two processes that were given one name are two workers. */
export function workerName(worker: unknown): string {
  if (typeof worker !== "string" || worker === "") throw badOption("worker", "a name", worker)
  processSuffix ??= randomId().slice(0, 12)
  return `${worker}-${processSuffix}`
}

function checkId(id: unknown): void {
  // The URL of "." and ".." would be that of another route.
  if (typeof id !== "string" || /^\.{0,2}$/.test(id))
    throw badOption("id", "the name of a subscription", id)
}

function checkConfig(config: SubscriptionConfig): void {
  checkObject("config", config)
  // JavaScript callers can give anything.
  const given = config as Partial<
    Record<keyof SubscriptionConfig | "wakeStream" | "webhook", unknown>
  >
  const { type, pattern, streams, leaseTtlMs, wakeStream, webhook } = given
  if (type !== "pull-wake" && type !== "webhook") {
    throw badOption("type", '"pull-wake" or "webhook"', type)
  }
  if (pattern === undefined && streams === undefined) {
    throw badOption("pattern", "given, unless streams is given", pattern)
  }
  if (
    pattern !== undefined &&
    (typeof pattern !== "string" || pattern === "" || pattern.startsWith("/"))
  ) {
    throw badOption("pattern", "relative to root, without a leading slash", pattern)
  }
  if (streams !== undefined) checkPaths("streams", streams)
  if (type === "pull-wake") checkPaths("wakeStream", [wakeStream])
  if (type === "webhook" && (!isJsonObject(webhook) || typeof webhook["url"] !== "string")) {
    throw badOption("webhook.url", "a URL", webhook)
  }
  checkLeaseMs(leaseTtlMs)
}

function checkPaths(option: string, paths: unknown): void {
  if (!Array.isArray(paths) || paths.length === 0) throw badOption(option, "a list of paths", paths)
  for (const path of paths) checkPath(option, path)
}
