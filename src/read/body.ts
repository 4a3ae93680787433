import { DurableStreamError } from "../errors/durable-stream-error.ts"
import { raceAbort } from "../http/abort.ts"
import { isNetworkFailure } from "../http/failure.ts"
import { encodeUtf8 } from "../platform/text.ts"
import { byteView } from "../protocol/bytes.ts"
import { isPlainInSse } from "../protocol/content-type.ts"
import { describeUrl } from "../protocol/request-url.ts"
import { hasHeader, headerOf } from "../protocol/response-metadata.ts"
import type { IdleWatch } from "./idle-watch.ts"
import {
  emptyPayload,
  transferFailure,
  type Payload,
  type PayloadRead,
  type TransferFailure,
} from "./page.ts"

export interface BodyContext {
  readonly url: string
  /** Ends the reading, also if the platform's body does not follow it. */
  readonly signal: AbortSignal
  readonly watch: IdleWatch
  readonly idleTimeoutMs: number
  readonly platform: BodyPlatform
  readonly onBytes?: ((bytes: Uint8Array) => void) | undefined
}

/** What a session has learned about the platform's bodies. */
export interface BodyPlatform {
  /** Whether `arrayBuffer()` fails (React Native before 0.73 has `text()` only). */
  lacksArrayBuffer: boolean
}

/** Whether the platform delivers a body as it arrives. If not, a response that does not end never arrives. */
export function arrivesInParts({ body }: Response): boolean {
  // The platform's type says that a body is a stream or null; React Native's and node-fetch's are neither.
  const given = body as Partial<ReadableStream> | null | undefined
  return given === null || typeof given?.getReader === "function"
}

/**
 * The payload of a response, read as it arrives. A body that breaks off, stays silent or does not have the length of its
 * Content-Length reads as `failed`.
 */
export function bodyPayload(response: Response, context: BodyContext): Payload {
  const { body } = response
  // Nothing is waited for before the first read: a response that nobody consumes keeps no timer.
  context.watch.end()
  if (body === null) return emptyPayload()
  const streams = arrivesInParts(response)
  if (response.bodyUsed || (streams && body.locked)) {
    throw badBody(context.url, "whose body was used already: return a clone of it")
  }
  return streams
    ? new BodyPayload(body.getReader(), expectedBytes(response), context)
    : new BodyPayload(wholeBodyReader(response, context), undefined, context)
}

type BodyReader = Pick<ReadableStreamDefaultReader<Uint8Array>, "read" | "cancel">

class BodyPayload implements Payload {
  readonly #reader: BodyReader
  readonly #expectedBytes: number | undefined
  readonly #context: BodyContext
  #receivedBytes = 0
  #ended = false
  #complete = false
  readonly #onAbort = (): void => {
    this.#context.watch.end()
    this.#cancel()
  }

  constructor(reader: BodyReader, expected: number | undefined, context: BodyContext) {
    this.#reader = reader
    this.#expectedBytes = expected
    this.#context = context
    // Some bodies do not follow the signal that fetch was given; a cancelled reader ends every wait at once.
    if (context.signal.aborted) this.#onAbort()
    else context.signal.addEventListener("abort", this.#onAbort)
  }

  get isComplete(): boolean {
    return this.#complete
  }

  async read(): Promise<PayloadRead> {
    if (this.#ended) return { kind: "end" }
    const { watch, signal, idleTimeoutMs } = this.#context
    watch.listen(idleTimeoutMs)
    try {
      const { done, value } = await this.#reader.read()
      watch.heard()
      if (signal.aborted) return this.#failed(brokenBody(this.#context, signal.reason))
      if (done) return this.#atEnd()
      const bytes = byteView(value)
      if (bytes === undefined) return this.#failed(notBytes(this.#context.url))
      this.#receivedBytes += bytes.byteLength
      if (this.#receivedBytes > (this.#expectedBytes ?? Infinity)) {
        return this.#failed(this.#wrongLength("malformed"))
      }
      this.#context.onBytes?.(bytes)
      return { kind: "chunk", bytes }
    } catch (error) {
      const cause: unknown = signal.aborted ? signal.reason : error
      return this.#failed(brokenBody(this.#context, cause))
    }
  }

  release(): void {
    if (this.#ended) return
    this.#end()
    this.#cancel()
  }

  #atEnd(): PayloadRead {
    if (this.#receivedBytes < (this.#expectedBytes ?? 0)) {
      return this.#failed(this.#wrongLength("network"))
    }
    this.#complete = true
    this.#end()
    return { kind: "end" }
  }

  /** A shorter body broke off. A longer one is two that were joined, or a layer changed it. */
  #wrongLength(kind: "network" | "malformed"): TransferFailure {
    const lengths = `${this.#receivedBytes} of ${this.#expectedBytes} bytes`
    const reason = `its response has ${lengths}. If this repeats, a service worker, proxy or layer over fetch changes it`
    return transferFailure(this.#context.url, kind, reason, { signature: lengths })
  }

  #end(): void {
    this.#ended = true
    this.#context.watch.end()
    this.#context.signal.removeEventListener("abort", this.#onAbort)
  }

  #cancel(): void {
    // How a body ends that nobody wants is of no interest.
    this.#reader.cancel(this.#context.signal.reason).catch(() => undefined)
  }

  #failed(failure: TransferFailure): PayloadRead {
    this.release()
    return { kind: "failed", failure }
  }
}

/** If the platform's responses have no streams (React Native), the body arrives whole. */
function wholeBodyReader(response: Response, { url, platform, signal }: BodyContext): BodyReader {
  // A response that somebody made by hand can lack what the platform's type promises.
  const { arrayBuffer, text } = response as Partial<Response>
  if (typeof arrayBuffer !== "function" && typeof text !== "function") {
    throw badBody(url, "that has neither a stream nor arrayBuffer() nor text()")
  }
  let isRead = false
  return {
    async read() {
      if (isRead) return { done: true, value: undefined }
      isRead = true
      return { done: false, value: await raceAbort(readWhole(response, platform), signal) }
    },
    cancel: () => Promise.resolve(),
  }
}

async function readWhole(response: Response, platform: BodyPlatform): Promise<Uint8Array> {
  const isText = isPlainInSse(response.headers.get("content-type"))
  // See wholeBodyReader.
  const hasArrayBuffer = typeof (response as Partial<Response>).arrayBuffer === "function"
  if (hasArrayBuffer && !(isText && platform.lacksArrayBuffer)) {
    try {
      return new Uint8Array(await response.arrayBuffer())
    } catch (error) {
      // The body may be used up by the attempt: then the next transfer takes its text.
      platform.lacksArrayBuffer = !platform.lacksArrayBuffer
      if (!isText || response.bodyUsed) throw error
    }
  }
  return encodeUtf8(await response.text())
}

function badBody(url: string, what: string): DurableStreamError {
  return new DurableStreamError(
    `The option fetch returned a response from ${describeUrl(url)} ${what}.`,
    "BAD_REQUEST",
  )
}

function notBytes(url: string): TransferFailure {
  const error = badBody(url, "whose body has chunks that are not bytes: use Uint8Arrays")
  return { kind: "malformed", error }
}

/** What ended the wait says more than "broke off". */
function brokenBody({ url, watch }: BodyContext, cause: unknown): TransferFailure {
  if (watch.failure !== undefined) return watch.failure
  // A network may fail for as long as it likes; what nothing recognises must surface if it repeats.
  const signature = isNetworkFailure(cause) ? {} : { signature: String(cause) }
  return transferFailure(url, "network", "its response broke off", { cause, ...signature })
}

/**
 * How long the body says that it is. Unknown if it was compressed, because the length is that of the compressed bytes;
 * across origins, where the header that would tell so may be hidden (browsers check the length themselves); and if the
 * response did not come from the network but from a program, which may have kept a header of another response.
 */
function expectedBytes(response: Response): number | undefined {
  const { type, url, headers } = response
  if (type === "cors" || hasHeader(headers, "content-encoding")) return undefined
  // A response that somebody made by hand can lack both.
  const isMade: boolean = (["default", undefined] as unknown[]).includes(type) && !url
  if (isMade) return undefined
  const length = Number(headerOf(headers, "content-length") ?? NaN)
  return Number.isSafeInteger(length) ? length : undefined
}
