import { DurableStreamError } from "../errors/durable-stream-error.ts"
import { badOption, checkAmount, checkOptions, RULES } from "../http/option-checks.ts"
import { warnOfOptionsBeside } from "../http/unknown-options.ts"
import { supportAsyncDispose } from "../platform/async-dispose.ts"
import { decodeUtf8 } from "../platform/text.ts"
import { cors } from "../protocol/names.ts"
import type { Offset } from "../protocol/offset.ts"
import { Connection, lostConnection, refusedConnection } from "./connection.ts"
import {
  checkFailOptions,
  FaultQueue,
  type DropOptions,
  type FailOptions,
  type FaultOptions,
} from "./faults.ts"
import { readBody, readHead, signalOf, type RequestHead } from "./fetch-request.ts"
import {
  errorResponse,
  textResponse,
  type ModelClock,
  type ModelRequest,
  type ModelResponse,
} from "./messages.ts"
import { offsetOf } from "./offsets.ts"
import type { ModelStream } from "./stream.ts"
import { SubscriptionModelServer, type SubscriptionHooks } from "./subscriptions.ts"
import { WebhookSender } from "./webhooks.ts"

/** The options of {@link createTestServer}. */
export interface TestServerOptions {
  /**
   * The root of the streams and subscriptions. Nothing listens there.
   *
   * @default "http://streams.test"
   */
  url?: string | URL | undefined
  /**
   * How long a long-poll request waits for data, in milliseconds.
   *
   * @default 30_000
   */
  longPollTimeoutMs?: number | undefined
  /**
   * How many messages (JSON) or bytes a page holds at most: a small one makes a reader take several.
   *
   * @default Infinity
   */
  maxPageLength?: number | undefined
  /**
   * Whether the server knows `Stream-Expected-Offset`. Older servers ignore it.
   *
   * @default true
   */
  expectedOffset?: boolean | undefined
  /**
   * Receives the wakes of webhook subscriptions, signed: give it the function of `webhookHandler`.
   *
   * @default the platform's fetch
   */
  onWebhook?: ((request: Request) => Response | Promise<Response>) | undefined
}

/** A stream of a {@link TestServer} as it is at the moment. */
export interface TestStream {
  readonly url: string
  readonly contentType: string
  readonly isClosed: boolean
  /** The tail: the offset behind the last byte stored. */
  readonly offset: Offset
  /** The messages of a JSON stream; empty for others. */
  readonly messages: readonly unknown[]
  /** The content as text; of a JSON stream the array of its messages. */
  readonly text: string
  readonly bytes: Uint8Array
}

/** A server of the protocol in memory, with faults on demand. See {@link createTestServer}. */
export interface TestServer {
  /**
   * Stands in for the platform's `fetch`: the option `fetch` of every call of the client takes it. A request to another
   * origin gets 421.
   */
  readonly fetch: typeof globalThis.fetch
  /** The root, without a slash at its end: create streams at `${url}/chat`. */
  readonly url: string
  /** The streams that exist, by URL. */
  readonly streams: ReadonlyMap<string, TestStream>
  /** The next request fails and does not reach the streams. */
  failNext(options?: FailOptions): void
  /** The next request takes effect, but its response is lost: the connection breaks. */
  dropResponse(options?: DropOptions): void
  /**
   * The response to the next request arrives later.
   *
   * @param delayMs - in milliseconds; Infinity for never
   */
  delay(delayMs: number, options?: FaultOptions): void
  /**
   * The server restarts: every connection breaks, claims of subscriptions end, and streams stay.
   *
   * @param options - `downMs`: how long connections are refused, in milliseconds (default 0)
   */
  restart(options?: { downMs?: number | undefined }): void
  /** The server forgets what it knows about producers: of one stream, or of all. */
  forget(url?: string | URL): void
  /**
   * The stream's time to live is over.
   *
   * @throws DurableStreamError `NOT_FOUND` if there is no such stream
   */
  expire(url: string | URL): void
  /** Ends every connection and timer, for the end of a test; so does `await using`. Streams stay readable in `streams`. */
  close(): void
  /** Closes. */
  [Symbol.asyncDispose](): Promise<void>
}

/** The time of the test: a runner may replace the timers and the date after this module was loaded. */
class TestClock implements ModelClock {
  readonly #pending = new Set<() => void>()

  now(): number {
    return Date.now()
  }

  after(delayMs: number, callback: () => void): () => void {
    // A timer cannot wait longer: never, for a test.
    if (delayMs > 0x7fffffff) return () => undefined
    const cancel = (): void => {
      clearTimeout(timer)
      this.#pending.delete(cancel)
    }
    const timer = setTimeout(() => {
      this.#pending.delete(cancel)
      callback()
    }, delayMs)
    this.#pending.add(cancel)
    return cancel
  }

  stop(): void {
    for (const cancel of [...this.#pending]) cancel()
  }
}

/**
 * Creates a server of the whole protocol in memory: streams, live reads, producers, forks, expiry, subscriptions. Give its
 * `fetch` to the code under test. It does no I/O, and its time is that of `setTimeout` and `Date`, so fake timers work.
 *
 * @example
 * ```ts
 * import { DurableStream } from "@durable-streams/client"
 * import { createTestServer } from "@durable-streams/client/testing"
 *
 * const server = createTestServer()
 * const url = `${server.url}/chat`
 * const chat = await DurableStream.create({
 *   url,
 *   contentType: "application/json",
 *   fetch: server.fetch,
 * })
 * server.failNext({ status: 503 })
 * await chat.append({ text: "hello" }) // retried
 * console.log(server.streams.get(url)?.messages.length) // prints: 1
 * server.close()
 * ```
 * @throws DurableStreamError `BAD_REQUEST` that names the option
 */
export function createTestServer(options: TestServerOptions = {}): TestServer {
  checkOptions(options, {
    longPollTimeoutMs: RULES.duration,
    maxPageLength: RULES.duration,
    expectedOffset: RULES.boolean,
    onWebhook: RULES.function,
  })
  const known = ["url", "longPollTimeoutMs", "maxPageLength", "expectedOffset", "onWebhook"]
  warnOfOptionsBeside(known, "createTestServer", options)
  return new InMemoryServer(options)
}

/** On every response: what browsers, and what test environments emulate of them, ask for. */
const BROWSER_HEADERS = {
  "access-control-allow-origin": "*",
  "access-control-expose-headers": cors.exposedHeaders.join(", "),
  "cross-origin-resource-policy": "cross-origin",
  "x-content-type-options": "nosniff",
}

const PREFLIGHT_HEADERS = {
  "access-control-allow-methods": cors.allowedMethods.join(", "),
  "access-control-allow-headers": [...cors.allowedHeaders, "If-None-Match"].join(", "),
}

class InMemoryServer implements TestServer {
  readonly url: string
  readonly #origin: string
  readonly #rootPath: string
  readonly #clock = new TestClock()
  readonly #model: SubscriptionModelServer
  readonly #webhooks: WebhookSender
  readonly #connections = new Set<Connection>()
  readonly #failures = new FaultQueue<FailOptions>("failNext", ["status", "headers", "body"])
  readonly #drops = new FaultQueue<DropOptions>("dropResponse", ["afterBytes"])
  readonly #delays = new FaultQueue<FaultOptions & { delayMs: number }>("delay", ["delayMs"])
  #isUp = true

  constructor(options: TestServerOptions) {
    const { longPollTimeoutMs = 30_000, maxPageLength = Infinity, expectedOffset = true } = options
    const { origin, pathname } = parseRoot(options.url ?? "http://streams.test")
    this.#origin = origin
    this.#rootPath = pathname.replace(/\/$/, "")
    this.url = origin + this.#rootPath
    const { onWebhook = (request: Request) => globalThis.fetch(request) } = options
    this.#webhooks = new WebhookSender(this.#clock, onWebhook)
    const hooks = {
      onWebhook: (...wake: Parameters<NonNullable<SubscriptionHooks["onWebhook"]>>) =>
        void this.#webhooks.send(this.#model, ...wake),
    }
    this.#model = new SubscriptionModelServer(this.#clock, this.#rootPath, hooks, {
      longPollTimeoutMs,
      expectedOffset,
      pageLimit: () => maxPageLength,
    })
    supportAsyncDispose(this)
  }

  readonly fetch = (input: string | URL | Request, init?: RequestInit): Promise<Response> =>
    new Promise<Response>((resolve, reject) => {
      const head = readHead(input, init, this.url)
      const signal = signalOf(input, init)
      signal?.throwIfAborted()
      const connection = new Connection({
        signal,
        resolve,
        reject,
        onOver: () => this.#connections.delete(connection),
      })
      this.#connections.add(connection)
      this.#serve(connection, head, () => readBody(input, init)).catch((error: unknown) =>
        connection.fail(error),
      )
    })

  get streams(): ReadonlyMap<string, TestStream> {
    return new Map(
      this.#model.streamPaths().map((path) => {
        const url = this.#origin + path
        return [url, describe(url, this.#model.stream(path))]
      }),
    )
  }

  failNext(options: FailOptions = {}): void {
    this.#failures.add(checkFailOptions(options), this.#pathOf)
  }

  dropResponse(options: DropOptions = {}): void {
    checkOptions(options, { afterBytes: RULES.amount })
    this.#drops.add(options, this.#pathOf)
  }

  delay(delayMs: number, options: FaultOptions = {}): void {
    checkAmount("delayMs", delayMs)
    this.#delays.add({ ...options, delayMs }, this.#pathOf)
  }

  restart(options: { downMs?: number | undefined } = {}): void {
    const { downMs = 0 } = checkOptions(options, { downMs: RULES.amount })
    this.#model.endLeases()
    this.#breakAll()
    if (downMs === 0) return
    this.#isUp = false
    this.#clock.after(downMs, () => void (this.#isUp = true))
  }

  forget(url?: string | URL): void {
    if (url === undefined) this.#model.forgetProducers()
    else this.#stream(url).producers.forget()
  }

  expire(url: string | URL): void {
    this.#model.expire(this.#stream(url))
  }

  close(): void {
    this.#isUp = false
    this.#breakAll()
    this.#clock.stop()
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.close()
    return Promise.resolve()
  }

  async #serve(
    connection: Connection,
    head: RequestHead,
    readWholeBody: () => Promise<Uint8Array>,
  ): Promise<void> {
    if (!this.#isUp) throw refusedConnection()
    const failure = this.#failures.take(head)
    if (failure?.status === 0) throw refusedConnection()
    const delay = this.#delays.take(head)
    const drop = failure === undefined ? this.#drops.take(head) : undefined
    const body = await readWholeBody()
    const given =
      failure === undefined
        ? await this.#handle({ ...head, body, gone: connection.gone })
        : failedResponse(failure)
    const response = { ...given, headers: { ...given.headers, ...BROWSER_HEADERS } }
    if (delay !== undefined) await connection.wait(delay.delayMs, this.#clock)
    if (drop !== undefined && drop.afterBytes === undefined) throw lostConnection()
    connection.respond(response, head.method === "HEAD", drop?.afterBytes)
  }

  async #handle(request: ModelRequest): Promise<ModelResponse> {
    if (request.url.origin !== this.#origin) {
      return errorResponse(421, `This test server has the streams of ${this.#origin} only.`)
    }
    // Test environments with a fetch of their own ask before a request across origins, as browsers do.
    if (request.method === "OPTIONS") return textResponse(204, PREFLIGHT_HEADERS)
    if (request.url.pathname !== `${this.#rootPath}/__ds/jwks.json`) {
      return this.#model.handle(request)
    }
    const headers = { "content-type": "application/jwk-set+json", "cache-control": "max-age=300" }
    return textResponse(200, headers, JSON.stringify(await this.#webhooks.jwks()))
  }

  #breakAll(): void {
    for (const connection of [...this.#connections]) connection.fail(lostConnection())
  }

  readonly #pathOf = (url: string | URL): string => {
    const { origin, pathname } = parseUrl(url, this.url)
    if (origin !== this.#origin) throw badOption("url", `below ${this.url}`, String(url))
    return pathname
  }

  #stream(url: string | URL): ModelStream {
    const path = this.#pathOf(url)
    const stream = this.#model.findStream(path)
    if (stream !== undefined && !stream.deleted) return stream
    const message = `The test server has no stream ${this.#origin}${path}. Create it first.`
    throw new DurableStreamError(message, "NOT_FOUND")
  }
}

function parseRoot(root: string | URL): URL {
  const url = parseUrl(root)
  if (/^https?:$/.test(url.protocol) && url.search === "" && url.hash === "") return url
  throw badOption("url", "an http or https URL without a query", String(root))
}

function parseUrl(url: string | URL, base?: string): URL {
  try {
    return new URL(url, base)
  } catch {
    throw badOption("url", "a URL", url)
  }
}

function failedResponse({ status = 503, headers = {}, body = "" }: FailOptions): ModelResponse {
  return errorResponse(status, body, headers)
}

function describe(url: string, stream: ModelStream): TestStream {
  const bytes = stream.slice(0, stream.length)
  return {
    url,
    contentType: stream.contentType,
    isClosed: stream.closed,
    offset: offsetOf(stream.length),
    messages: stream.messages.map((message): unknown => JSON.parse(message)),
    text: decodeUtf8(bytes),
    bytes,
  }
}
