import { badOption, checkNumber, checkObject, checkOptions, RULES } from "../http/option-checks.ts"
import { warnOfOptionsBeside } from "../http/unknown-options.ts"
import type { RequestHead } from "./fetch-request.ts"

/** Which requests a fault hits. */
export interface FaultOptions {
  /** Only requests to this stream. */
  url?: string | URL | undefined
  /** Only requests with this method. */
  method?: "GET" | "POST" | "PUT" | "HEAD" | "DELETE" | undefined
  /**
   * How many requests; Infinity for all from now on.
   *
   * @default 1
   */
  times?: number | undefined
}

/** The options of {@link TestServer.failNext}. */
export interface FailOptions extends FaultOptions {
  /**
   * The status of the response; 0 is a refused connection.
   *
   * @default 503
   */
  status?: number | undefined
  /** Headers of the response: `{ "retry-after": "1" }`. */
  headers?: Readonly<Record<string, string>> | undefined
  /**
   * The body of the response.
   *
   * @default ""
   */
  body?: string | undefined
}

/** The options of {@link TestServer.dropResponse}. */
export interface DropOptions extends FaultOptions {
  /**
   * How much of the body arrives before the connection breaks. Without it the connection breaks before the headers.
   */
  afterBytes?: number | undefined
}

const METHODS = ["GET", "POST", "PUT", "HEAD", "DELETE"]

interface QueuedFault<T> {
  readonly options: T
  readonly path: string | undefined
  remaining: number
}

/** Faults of one kind that wait for their requests. */
export class FaultQueue<T extends FaultOptions> {
  readonly #call: string
  readonly #known: readonly string[]
  #queue: QueuedFault<T>[] = []

  /**
   * @param call - what adds them
   * @param known - its options beside those of {@link FaultOptions}
   */
  constructor(call: string, known: readonly string[]) {
    this.#call = call
    this.#known = ["url", "method", "times", ...known]
  }

  /** @param pathOf - the path of a stream's URL; throws if it is not one of the server */
  add(options: T, pathOf: (url: string | URL) => string): void {
    const { url, method, times = 1 } = checkObject("options", options)
    if (method !== undefined && !METHODS.includes(method)) {
      throw badOption("method", METHODS.join(", "), method)
    }
    const isCount = (count: number) => count === Infinity || (Number.isInteger(count) && count > 0)
    checkNumber("times", times, isCount, "a whole number above 0, or Infinity")
    warnOfOptionsBeside(this.#known, this.#call, options)
    const path = url === undefined ? undefined : pathOf(url)
    this.#queue.push({ options, path, remaining: times })
  }

  /** The first fault that hits a request; it hits one request less from now on. */
  take({ url, method }: RequestHead): T | undefined {
    const fault = this.#queue.find(
      ({ path, options }) =>
        (path === undefined || path === url.pathname) &&
        (options.method === undefined || options.method === method),
    )
    if (fault === undefined) return undefined
    fault.remaining--
    if (fault.remaining === 0) this.#queue = this.#queue.filter((other) => other !== fault)
    return fault.options
  }
}

/** Checks what is special to {@link FailOptions}. */
export function checkFailOptions(options: FailOptions): FailOptions {
  const { status = 503 } = checkOptions(options, {
    headers: RULES.object,
    body: { words: "a string", isMet: (it) => typeof it === "string" },
  })
  const isStatus = (it: number) => it === 0 || (Number.isInteger(it) && it >= 200 && it <= 599)
  checkNumber("status", status, isStatus, "an HTTP status from 200 to 599, or 0")
  return options
}
