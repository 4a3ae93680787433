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
  #waiting: AppendCalls[] = []
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
    const isPromise = isThenable(body)
    const snapshot = hasBody && !isPromise ? takeSnapshot(body) : undefined
    const type = this.#knownType(terms)
    let calls = signal === undefined ? this.#waiting.at(-1) : undefined
    if (!calls?.join(terms, snapshot, type, this.#maxJoinedSize)) {
      const bodies = snapshot === undefined ? [] : [snapshot]
      calls = new AppendCalls(terms, hasBody, bodies, this.#target.endpoint.signal, signal)
      if (isPromise) calls.awaitBody(body)
      this.#enqueue(calls, type)
    }
    if (this.#waiting.length + calls.count <= MAX_TRACED_CALLS && !calls.isSettled) {
      calls.callerStacks[calls.count] = captureCallerStack()
    }
    return calls.outcome()
  }

  #enqueue(calls: AppendCalls, type: string | undefined): void {
    // A body that can never be sent fails now, whatever it would have to wait for.
    if (type !== undefined || calls.isInvalid)
      calls.encode(type ?? "application/json", this.#stream)
    if (calls.isSettled) return
    if (!this.#batching) {
      void this.#sendAlone(calls)
      return
    }
    this.#waiting.push(calls)
    if (!this.#isSending) void this.#sendWaiting()
  }

  async #sendAlone(calls: AppendCalls): Promise<void> {
    // No await without need: the request is made in the caller's own context.
    if (!calls.isReady) await calls.arrived
    await this.#send([calls], calls)
  }

  async #sendWaiting(): Promise<void> {
    this.#isSending = true
    for (;;) {
      const [first] = this.#waiting
      if (first === undefined) break
      if (first.isSettled) this.#waiting.shift()
      else if (first.count > 1 && first.size > this.#maxJoinedSize) {
        this.#waiting = first.apart().concat(this.#waiting.slice(1))
      } else if (first.isReady) await this.#send(this.#takeGroup(first), first)
      else await first.arrived
    }
    this.#isSending = false
  }

  /** Takes the first call, and those behind it that can share its request. */
  #takeGroup(first: AppendCalls): AppendCalls[] {
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

  #knownType({ contentType }: WriteTerms): string | undefined {
    return contentType ?? this.#target.handle.contentType
  }

  #typeOf({ terms, bodies }: AppendCalls): string {
    return this.#knownType(terms) ?? guessContentType(bodies[0] ?? "")
  }

  /**
   * Sends calls in one request. Never rejects: every call is settled when it resolves.
   *
   * @param lead - has the content type and the terms of all of them
   */
  async #send(calls: readonly AppendCalls[], lead: AppendCalls): Promise<void> {
    const controller = new AbortController()
    try {
      // An empty body sends nothing that could show whether a guess is right.
      if (lead.size === 0 && lead.hasBody && this.#knownType(lead.terms) === undefined) {
        await learnContentType(this.#target, controller.signal)
      }
      const type = this.#typeOf(lead)
      const ready = calls.flatMap((some) => some.encode(type, this.#stream))
      if (ready.length > 0) await this.#post(ready, lead, type, controller)
    } catch (error) {
      for (const some of calls) some.reject(error)
    }
  }

  async #post(
    calls: readonly AppendCalls[],
    lead: AppendCalls,
    type: string,
    controller: AbortController,
  ): Promise<void> {
    let unsettledCount = calls.length
    const onSettled = () => {
      if (--unsettledCount === 0) controller.abort()
    }
    for (const some of calls) some.onSettled = onSettled
    let sentCount = 0
    // Made for every attempt, without the calls that were aborted in between.
    const body = () => {
      const parts = calls.flatMap((some) => (some.isSettled ? [] : some.parts))
      sentCount = parts.length
      return joinMessages(parts, type)
    }
    const { endpoint, handle } = this.#target
    // Only a close can do without content: another empty body is not sent.
    const content = calls[0]?.parts[0]?.length ? { type, body } : undefined
    try {
      // 0.2.x names the stream's type in a close without content too.
      const terms = content
        ? lead.terms
        : { ...lead.terms, contentType: this.#knownType(lead.terms) }
      const response = await postWrite(endpoint, terms, content, controller.signal)
      if (content !== undefined && lead.terms.contentType === undefined) handle.contentType ??= type
      for (const some of calls) some.resolve(response)
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
      } else for (const some of failed) some.reject(error)
    }
  }

  /** Nothing was stored: finds the calls at fault by sending each half again. */
  async #sendHalves(
    calls: readonly AppendCalls[],
    lead: AppendCalls,
    isTooLarge: boolean,
  ): Promise<void> {
    if (isTooLarge) {
      this.#maxJoinedSize = calls.reduce((size, some) => size + some.size, 0) / 2
    }
    const each = calls.flatMap((some) => some.apart())
    const middle = Math.ceil(each.length / 2)
    await this.#send(each.slice(0, middle), lead)
    await this.#send(each.slice(middle), lead)
  }

  async #isWrongGuess(type: string, signal: AbortSignal): Promise<boolean> {
    // If the server does not tell, its rejection says more than the failed HEAD.
    const known = await learnContentType(this.#target, signal, true).catch(() => undefined)
    return known !== undefined && mediaType(known) !== mediaType(type)
  }
}

/**
 * Calls that follow one another, from the first call until they are settled: together, or {@link AppendCalls.apart}. A call
 * with a signal of its own, or a promise of its body, is alone. They are settled once; what comes later has no effect.
 *
 * If a hundred thousand calls wait, half the time is what the garbage collector needs to keep them. So they share one
 * promise, and each gets one that is derived from it by a shared function, in their order.
 */
class AppendCalls {
  readonly terms: WriteTerms
  readonly hasBody: boolean
  /** Called when they are settled while they are in flight with others. */
  onSettled: (() => void) | undefined
  /** The bodies as they were at the calls, once they have arrived. */
  readonly bodies: MessageSnapshot[]
  /** About how large they are together, commas included: bytes, or UTF-16 units of text. */
  size: number
  /** The same as they are sent. */
  parts: MessageContent[] = []
  isSettled = false
  /** Resolves once a body that is a promise is there, or the call is settled without. */
  arrived: Promise<void> | undefined
  /** Where the first calls come from, by their places from 1, for the error of a later turn. */
  callerStacks: (object | undefined)[] = []
  readonly #signals: readonly (AbortSignal | undefined)[]
  readonly #unwatch: (() => void)[] = []
  #type: string | undefined
  #failure: { readonly error: unknown } | undefined
  #apart: AppendCalls[] | undefined
  #turn = 0
  #settle!: () => void
  readonly #settled = new Promise<void>((resolve) => {
    this.#settle = resolve
  })

  constructor(
    terms: WriteTerms,
    hasBody: boolean,
    bodies: MessageSnapshot[],
    ...signals: (AbortSignal | undefined)[]
  ) {
    this.terms = terms
    this.hasBody = hasBody
    this.bodies = bodies
    this.size = bodies.reduce((size, body) => size + 1 + sizeOf(body), -1)
    this.#signals = signals
    for (const signal of signals) {
      if (signal === undefined || this.isSettled) continue
      const end = () => this.reject(new FetchBackoffAbortError(signal.reason))
      if (signal.aborted) end()
      else this.#unwatch.push(onAbort(signal, end))
    }
  }

  /** Adds the body of a call that says the same. @returns false if it must not share these calls' outcome or request */
  join(
    terms: WriteTerms,
    body: MessageSnapshot | undefined,
    type: string | undefined,
    maxSize: number,
  ): boolean {
    const hasSignal = this.#signals[1] !== undefined
    if (this.terms !== terms || hasSignal || !mayShareRequest(terms)) return false
    if (body === undefined || type === undefined || this.#type !== type) return false
    const size = this.size + 1 + sizeOf(body)
    const part = size > maxSize ? "" : encodeMessage(body, type)
    if ((typeof part === "object" && "kind" in part) || part.length === 0) return false
    this.size = size
    this.bodies.push(body)
    this.parts.push(part)
    return true
  }

  /** Waits for a body. */
  awaitBody(value: unknown): void {
    this.arrived = new Promise((resolve) => {
      this.onSettled = resolve
      // As `await` would: a thenable may throw, resolve twice, or give another promise.
      Promise.resolve(value)
        .then((body) => {
          const snapshot = takeSnapshot(body)
          this.size = sizeOf(snapshot)
          this.bodies.push(snapshot)
          resolve()
        })
        .catch((error: unknown) => this.reject(error))
    })
  }

  /** Promises the outcome of the next call, in their order. */
  outcome(): Promise<void> {
    return this.#settled.then(this.#next)
  }

  get count(): number {
    return this.bodies.length
  }

  get isReady(): boolean {
    return this.count > 0 || !this.hasBody
  }

  get isInvalid(): boolean {
    const [body] = this.bodies
    return typeof body === "object" && "kind" in body && body.kind === "invalid"
  }

  /**
   * Encodes the bodies for a content type. One that cannot be encoded rejects its call, an empty one resolves it.
   *
   * @param stream - the stream as messages may show it
   * @returns those that there is something to send of
   */
  encode(contentType: string, stream: string): AppendCalls[] {
    if (this.isSettled || !this.isReady) return []
    if (this.#type === contentType || !this.hasBody) return [this]
    const [body = ""] = this.bodies
    if (this.count > 1) return this.apart().flatMap((call) => call.encode(contentType, stream))
    const part = encodeMessage(body, contentType)
    if (typeof part === "object" && "kind" in part) {
      this.reject(invalidMessageError(stream, part))
      return []
    }
    const { close, seq, producer } = this.terms
    if (part.length === 0 && close !== true) {
      const reason = "it is empty, so that its seq or producer numbers would not be used up"
      if (seq === undefined && producer === undefined) this.resolve()
      else this.reject(invalidMessageError(stream, { code: "BAD_REQUEST", reason }))
      return []
    }
    this.parts = [part]
    this.#type = contentType
    return [this]
  }

  /** Gives each call by itself: each may be settled otherwise than the others. */
  apart(): AppendCalls[] {
    if (this.count < 2) return [this]
    this.#apart = this.bodies.map((body, index) => {
      const call = new AppendCalls(this.terms, true, [body], ...this.#signals)
      call.callerStacks = [this.callerStacks[index + 1]]
      return call
    })
    this.#end()
    return this.#apart
  }

  resolve(response?: ResponseMetadata): void {
    if (this.isSettled) return
    if (response !== undefined) this.terms.onResponse?.(response)
    this.#end()
  }

  reject(error: unknown): void {
    if (this.isSettled) return
    addCallerStack(error, this.callerStacks.find(Boolean))
    this.#failure = { error }
    this.#end()
  }

  #end(): void {
    this.isSettled = true
    for (const unwatch of this.#unwatch) unwatch()
    this.#settle()
    this.onSettled?.()
  }

  readonly #next = (): void | Promise<void> => {
    if (this.#apart !== undefined) return this.#apart[this.#turn++]?.outcome()
    if (this.#failure !== undefined) throw this.#failure.error
  }
}

/** About how large a body is: bytes, or UTF-16 units of text. */
function sizeOf(body: MessageSnapshot): number {
  if (typeof body === "string" || !("kind" in body)) return body.length
  return body.kind === "value" ? body.json.length : 1
}
