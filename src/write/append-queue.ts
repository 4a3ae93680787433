import { addCallerStack, captureCallerStack } from "../errors/caller-stack.ts"
import { FetchBackoffAbortError } from "../errors/fetch-backoff-abort-error.ts"
import { FetchError } from "../errors/fetch-error.ts"
import { invalidMessageError } from "../errors/invalid-message-error.ts"
import { onAbort } from "../http/abort.ts"
import type { ResponseMetadata } from "../http/request.ts"
import { mediaType } from "../protocol/content-type.ts"
import {
  encodeMessage,
  guessContentType,
  joinMessages,
  takeSnapshot,
  type MessageContent,
  type MessageSnapshot,
} from "../protocol/message.ts"
import { describeUrl } from "../protocol/request-url.ts"
import {
  learnContentType,
  mayShareRequest,
  postWrite,
  type WriteTarget,
  type WriteTerms,
} from "./append-request.ts"
import { isThenable } from "./promised-body.ts"

/**
 * Writes that wait together are joined up to about this size (bytes, or UTF-16 units of text): below the 1 MiB at which
 * gateways often reject. A larger one is sent on its own. Half as much takes twice the requests, and a sixth more time.
 */
const MAX_JOINED_SIZE = 960 * 1024

/**
 * How many of the calls that wait know where they were called from. A stack costs 2 µs and half a kilobyte: for each of
 * 100,000 calls that nothing awaits it would double the time.
 */
const MAX_TRACED_CALLS = 32

/**
 * The writes of a handle: which of them share a request, and when each is sent.
 *
 * They are sent in the order of the calls, one request at a time. What waits while a request is in flight is joined into
 * the next one if content types and terms permit. A write whose body is still a promise keeps its place: what was called
 * before is sent, what was called after waits.
 */
export class AppendQueue {
  readonly #target: WriteTarget
  readonly #stream: string
  readonly #batching: boolean
  readonly #waiting: AppendCall[] = []
  #maxJoinedSize = MAX_JOINED_SIZE
  #isSending = false

  /** @param batching - false sends every write at once and on its own: nothing waits for another call */
  constructor(target: WriteTarget, batching: boolean) {
    this.#target = target
    this.#stream = describeUrl(target.endpoint.url)
    this.#batching = batching
  }

  /**
   * Takes a write.
   *
   * @param terms - may be one object for all writes that say the same
   * @param body - the body, or a promise of it; undefined with `hasBody` false
   * @param signal - ends it, besides the handle's
   * @returns once it is stored
   */
  push(terms: WriteTerms, body: unknown, signal?: AbortSignal, hasBody = true): Promise<void> {
    return new Promise((settle) => {
      const call = new AppendCall(terms, hasBody, settle)
      if (hasBody) call.take(body)
      if (this.#target.endpoint.signal !== undefined) call.endWith(this.#target.endpoint.signal)
      if (signal !== undefined) call.endWith(signal)
      this.#enqueue(call)
      if (this.#waiting.length < MAX_TRACED_CALLS && !call.isSettled) {
        call.callerStack = captureCallerStack()
      }
    })
  }

  #enqueue(call: AppendCall): void {
    // A body that can never be sent fails now, whatever it would have to wait for.
    const type = this.#knownType(call)
    if (type !== undefined || call.isInvalid) call.encode(type ?? "application/json", this.#stream)
    if (call.isSettled) return
    if (!this.#batching) {
      void this.#sendAlone(call)
      return
    }
    this.#waiting.push(call)
    if (!this.#isSending) void this.#sendWaiting()
  }

  async #sendAlone(call: AppendCall): Promise<void> {
    // No await without need: the request is made in the caller's own context.
    if (!call.isReady) await call.arrived
    await this.#send([call], call)
  }

  async #sendWaiting(): Promise<void> {
    this.#isSending = true
    for (;;) {
      const [first] = this.#waiting
      if (first === undefined) break
      if (first.isSettled) this.#waiting.shift()
      else if (first.isReady) await this.#send(this.#takeGroup(first), first)
      else await first.arrived
    }
    this.#isSending = false
  }

  /** Takes the first call, and those behind it that can share its request. */
  #takeGroup(first: AppendCall): AppendCall[] {
    const type = this.#typeOf(first)
    let count = 1
    let { size } = first
    for (; mayShareRequest(first.terms); count++) {
      const next = this.#waiting[count]
      if (next === undefined || !next.isReady || !mayShareRequest(next.terms)) break
      // With the comma in front of it.
      size += next.size + 1
      if (size > this.#maxJoinedSize || this.#typeOf(next) !== type) break
    }
    return this.#waiting.splice(0, count)
  }

  #knownType({ terms }: AppendCall): string | undefined {
    return terms.contentType ?? this.#target.handle.contentType
  }

  #typeOf(call: AppendCall): string {
    return this.#knownType(call) ?? guessContentType(call.body ?? "")
  }

  /**
   * Sends calls in one request. Never rejects: every call is settled when it resolves.
   *
   * @param lead - has the content type and the terms of all of them
   */
  async #send(calls: readonly AppendCall[], lead: AppendCall): Promise<void> {
    const controller = new AbortController()
    try {
      // An empty body sends nothing that could show whether a guess is right.
      if (lead.size === 0 && lead.hasBody && this.#knownType(lead) === undefined) {
        await learnContentType(this.#target, controller.signal)
      }
      const type = this.#typeOf(lead)
      const ready = calls.filter(
        (call) => !call.isSettled && (!call.hasBody || call.encode(type, this.#stream)),
      )
      if (ready.length > 0) await this.#post(ready, lead, type, controller)
    } catch (error) {
      for (const call of calls) call.reject(error)
    }
  }

  async #post(
    calls: readonly AppendCall[],
    lead: AppendCall,
    type: string,
    controller: AbortController,
  ): Promise<void> {
    let unsettledCount = calls.length
    const onSettled = () => {
      if (--unsettledCount === 0) controller.abort()
    }
    for (const call of calls) call.onSettled = onSettled
    let sentCount = calls.length
    // Made for every attempt, without the calls that were aborted in between.
    const body = () => {
      const parts: MessageContent[] = []
      for (const { isSettled, part } of calls) {
        if (!isSettled && part !== undefined) parts.push(part)
      }
      sentCount = parts.length
      return joinMessages(parts, type)
    }
    const { endpoint, handle } = this.#target
    // Only a close can do without content: another empty body is not sent.
    const content = calls[0]?.part?.length ? { type, body } : undefined
    try {
      // 0.2.x names the stream's type in a close without content too.
      const terms = content ? lead.terms : { ...lead.terms, contentType: this.#knownType(lead) }
      const response = await postWrite(endpoint, terms, content, controller.signal)
      if (content !== undefined && lead.terms.contentType === undefined) handle.contentType ??= type
      for (const call of calls) call.resolve(response)
    } catch (error) {
      const failed = calls.filter(({ isSettled }) => !isSettled)
      const status = error instanceof FetchError ? error.status : 0
      // Nothing was stored then.
      const isGuess = content !== undefined && lead.terms.contentType === undefined
      const mayBeWrong = isGuess && [400, 409, 415].includes(status)
      if (mayBeWrong && (await this.#isWrongGuess(type, controller.signal))) {
        await this.#send(failed, lead)
      } else if (sentCount > 1 && [400, 413, 422].includes(status)) {
        await this.#sendHalves(failed, lead, status === 413)
      } else for (const call of failed) call.reject(error)
    }
  }

  /** Nothing was stored: finds the calls at fault by sending each half again. */
  async #sendHalves(
    calls: readonly AppendCall[],
    lead: AppendCall,
    isTooLarge: boolean,
  ): Promise<void> {
    if (isTooLarge) {
      this.#maxJoinedSize = calls.reduce((size, call) => size + call.size, 0) / 2
    }
    const middle = Math.ceil(calls.length / 2)
    await this.#send(calls.slice(0, middle), lead)
    await this.#send(calls.slice(middle), lead)
  }

  async #isWrongGuess(type: string, signal: AbortSignal): Promise<boolean> {
    // If the server does not tell, its rejection says more than the failed HEAD.
    const known = await learnContentType(this.#target, signal, true).catch(() => undefined)
    return known !== undefined && mediaType(known) !== mediaType(type)
  }
}

/** Settles a caller's promise: a rejected promise in place of nothing rejects it. */
type Settle = (result: void | Promise<never>) => void

/**
 * One caller's write, from the call until its promise is settled. It is settled once; what comes later has no effect.
 *
 * A call costs this object, the one promise that its caller gets, and the one function that settles it: if a hundred
 * thousand wait, half the time is what the garbage collector needs to keep them.
 */
class AppendCall {
  readonly terms: WriteTerms
  readonly hasBody: boolean
  /** Called when the call is settled while it is in flight with others. */
  onSettled: (() => void) | undefined
  /** The body as it was at the call, once it has arrived. */
  body: MessageSnapshot | undefined
  part: MessageContent | undefined
  /** Resolves once a body that is a promise is there, or the call is settled without. */
  arrived: Promise<void> | undefined
  /** Where the call comes from, for the error of a later turn. */
  callerStack: object | undefined
  #partType: string | undefined
  #settle: Settle | undefined
  #unwatch: (() => void)[] | undefined

  constructor(terms: WriteTerms, hasBody: boolean, settle: Settle) {
    this.terms = terms
    this.hasBody = hasBody
    this.#settle = settle
  }

  endWith(signal: AbortSignal): void {
    const end = () => this.reject(new FetchBackoffAbortError(signal.reason))
    if (signal.aborted) end()
    else if (!this.isSettled) (this.#unwatch ??= []).push(onAbort(signal, end))
  }

  /** Takes the body, or waits for it if it is a promise. */
  take(value: unknown): void {
    if (!isThenable(value)) {
      this.body = takeSnapshot(value)
      return
    }
    this.arrived = new Promise((resolve) => {
      this.onSettled = resolve
      // As `await` would: a thenable may throw, resolve twice, or give another promise.
      Promise.resolve(value)
        .then((body) => {
          this.body = takeSnapshot(body)
          resolve()
        })
        .catch((error: unknown) => this.reject(error))
    })
  }

  get isSettled(): boolean {
    return this.#settle === undefined
  }

  get isReady(): boolean {
    return this.body !== undefined || !this.hasBody
  }

  get isInvalid(): boolean {
    return typeof this.body === "object" && "kind" in this.body && this.body.kind === "invalid"
  }

  /** About how large the write is: bytes, or UTF-16 units of text. */
  get size(): number {
    const { body = "" } = this
    if (typeof body === "string" || !("kind" in body)) return body.length
    return body.kind === "value" ? body.json.length : 1
  }

  /**
   * Encodes the body for a content type. A body that cannot be encoded rejects the call, an empty one resolves it.
   *
   * @param stream - the stream as messages may show it
   * @returns whether there is something to send
   */
  encode(contentType: string, stream: string): boolean {
    if (this.isSettled || this.body === undefined) return false
    if (this.#partType === contentType) return true
    const part = encodeMessage(this.body, contentType)
    if (typeof part === "object" && "kind" in part) {
      this.reject(invalidMessageError(stream, part))
      return false
    }
    if (part.length === 0 && this.terms.close !== true) {
      const { seq, producer } = this.terms
      if (seq === undefined && producer === undefined) this.resolve()
      else this.reject(emptyMessageError(stream))
      return false
    }
    this.part = part
    this.#partType = contentType
    return true
  }

  resolve(response?: ResponseMetadata): void {
    if (response !== undefined && !this.isSettled) this.terms.onResponse?.(response)
    this.#end()
  }

  reject(error: unknown): void {
    if (this.isSettled) return
    addCallerStack(error, this.callerStack)
    // Not sooner: a promise that nothing asked for would be an unhandled rejection.
    this.#end(Promise.reject(error))
  }

  #end(result?: Promise<never>): void {
    const settle = this.#settle
    if (settle === undefined) return
    this.#settle = undefined
    this.#unwatch?.forEach((unwatch) => unwatch())
    settle(result)
    this.onSettled?.()
  }
}

function emptyMessageError(stream: string): Error {
  const reason = "it is empty, so that its seq or producer numbers would not be used up"
  return invalidMessageError(stream, { code: "BAD_REQUEST", reason })
}
