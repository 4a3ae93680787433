import { DurableStreamError } from "../errors/durable-stream-error.ts"
import { FetchError } from "../errors/fetch-error.ts"
import { raceAbort } from "../http/abort.ts"
import { safeCause } from "../http/safe-cause.ts"
import { byteView } from "../protocol/byte-view.ts"
import { describeUrl } from "../protocol/request-url.ts"
import { hasHeader } from "../protocol/response-metadata.ts"
import type { IdleWatch } from "./idle-watch.ts"
import { SilentRead } from "./silent-read.ts"
import { bufferedPayload, type Payload, type PayloadRead } from "./payload.ts"

/** What a body is read under. */
export interface BodyContext {
  readonly url: string
  /** Ends the reading, also where the platform's body does not follow it. */
  readonly signal: AbortSignal
  readonly watch: IdleWatch
  readonly idleTimeoutMs: number
  /** Looks at the bytes that arrive. */
  readonly onBytes?: ((bytes: Uint8Array) => void) | undefined
}

/** Whether the platform gives a body as it arrives. Where it does not, an answer without an end never comes. */
export function arrivesInParts({ body }: Response): boolean {
  // The platform's type says that a body is a stream or null; React Native's and node-fetch's are neither.
  const given = body as Partial<ReadableStream> | null | undefined
  return given === null || typeof given?.getReader === "function"
}

/**
 * The payload of an HTTP answer, read as it arrives. A body that breaks off, stays silent or is shorter than its
 * Content-Length reads as `broken`.
 */
export function bodyPayload(response: Response, context: BodyContext): Payload {
  const { body } = response
  if (body === null) {
    context.watch.end()
    return { ...bufferedPayload(new Uint8Array()), bodiless: true }
  }
  const streams = arrivesInParts(response)
  if (response.bodyUsed || (streams && body.locked)) throw usedBody(context.url)
  // Nothing is waited for before the first read: an answer that nobody consumes keeps no timer.
  context.watch.end()
  if (!streams) return wholeBody(response, context)
  return new BodyPayload(body.getReader(), expectedBytes(response), context)
}

class BodyPayload implements Payload {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>
  readonly #expectedBytes: number | undefined
  readonly #context: BodyContext
  #receivedBytes = 0
  #ended = false
  #whole = false
  readonly #onAbort = (): void => {
    this.#context.watch.end()
    this.#cancel()
  }

  constructor(
    reader: ReadableStreamDefaultReader<Uint8Array>,
    expected: number | undefined,
    context: BodyContext,
  ) {
    this.#reader = reader
    this.#expectedBytes = expected
    this.#context = context
    // Some bodies do not follow the signal that fetch was given; a cancelled reader ends every wait at once.
    if (context.signal.aborted) this.#onAbort()
    else context.signal.addEventListener("abort", this.#onAbort, { once: true })
  }

  get isHere(): boolean {
    return this.#whole
  }

  async read(): Promise<PayloadRead> {
    if (this.#ended) return { kind: "end" }
    const { watch, signal, idleTimeoutMs } = this.#context
    watch.listen(idleTimeoutMs)
    try {
      const { done, value } = await this.#reader.read()
      watch.heard()
      if (signal.aborted) return this.#broken(signal.reason)
      if (!done) {
        const bytes = byteView(value)
        if (bytes === undefined) return this.#refused()
        this.#receivedBytes += bytes.byteLength
        this.#context.onBytes?.(bytes)
        return { kind: "chunk", bytes }
      }
      if (this.#receivedBytes < (this.#expectedBytes ?? 0)) return this.#broken(undefined)
      this.#whole = true
      this.#end()
      return { kind: "end" }
    } catch (error) {
      return this.#broken(signal.aborted ? signal.reason : error)
    }
  }

  release(): void {
    if (this.#ended) return
    this.#end()
    this.#cancel()
  }

  #end(): void {
    this.#ended = true
    this.#context.watch.end()
    this.#context.signal.removeEventListener("abort", this.#onAbort)
  }

  #cancel(): void {
    // What the end of a body says that nobody wants any more is of no interest.
    this.#reader.cancel(this.#context.signal.reason).catch(() => undefined)
  }

  #refused(): PayloadRead {
    this.#end()
    this.#cancel()
    return { kind: "broken", damage: "malformed", error: bodyOfNoBytes(this.#context.url) }
  }

  #broken(cause: unknown): PayloadRead {
    this.#end()
    this.#cancel()
    return brokenBody(this.#context.url, cause)
  }
}

/** Where the platform's answers have no streams (React Native), the body comes whole. */
function wholeBody(response: Response, context: BodyContext): Payload {
  const { url, signal, watch, idleTimeoutMs, onBytes } = context
  // An answer that somebody made by hand can lack what the platform's type promises.
  if (typeof (response as Partial<Response>).arrayBuffer !== "function") throw bodyOfNoBytes(url)
  let whole: Promise<Payload> | undefined
  let isHere = false
  const takeWhole = async () => {
    watch.listen(idleTimeoutMs)
    const bytes = new Uint8Array(await raceAbort(response.arrayBuffer(), signal))
    isHere = true
    watch.end()
    onBytes?.(bytes)
    return bufferedPayload(bytes)
  }
  return {
    get isHere() {
      return isHere
    },
    async read() {
      try {
        return await (await (whole ??= takeWhole())).read()
      } catch (error) {
        watch.end()
        return brokenBody(url, signal.aborted ? signal.reason : error)
      }
    },
    release() {
      watch.end()
    },
  }
}

function usedBody(url: string): DurableStreamError {
  return new DurableStreamError(
    `The option fetch gave an answer from ${describeUrl(url)} whose body was read already: give a clone of it.`,
    "BAD_REQUEST",
  )
}

function bodyOfNoBytes(url: string): DurableStreamError {
  return new DurableStreamError(
    `The option fetch gave an answer from ${describeUrl(url)} whose body is no bytes: its chunks must be Uint8Arrays ` +
      "(or other views, or ArrayBuffers); where there is no stream, arrayBuffer() must give them.",
    "BAD_REQUEST",
  )
}

/** A silence that ended a read is an error already and says more than "broke off". */
function brokenBody(url: string, cause: unknown): PayloadRead {
  if (cause instanceof SilentRead) return { kind: "broken", damage: cause.damage, error: cause }
  const stream = describeUrl(url)
  const message = `The answer from ${stream} broke off`
  const error = new FetchError(0, undefined, undefined, {}, stream, message, {
    code: "NETWORK",
    cause: safeCause(cause),
  })
  return { kind: "broken", damage: "cut", error }
}

/**
 * How long the body says that it is. Not where it was compressed, as the length is that of the compressed bytes, nor
 * across origins, where the header that would tell so may be hidden; browsers check the length by themselves.
 */
function expectedBytes(response: Response): number | undefined {
  if (response.type === "cors" || hasHeader(response.headers, "content-encoding")) return undefined
  const length = Number(response.headers.get("content-length") ?? NaN)
  return Number.isSafeInteger(length) ? length : undefined
}
