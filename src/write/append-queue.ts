import type { Endpoint } from "../http/endpoint.ts"
import { mediaType } from "../protocol/content-type.ts"
import { STREAM_OFFSET_HEADER } from "../protocol/names.ts"
import { describeUrl } from "../protocol/request-url.ts"
import { guessContentType, isHopeless, joinParts, type AppendPart } from "./append-body.ts"
import { AppendCall } from "./append-call.ts"
import {
  blamesBody,
  isTooLarge,
  mayBlameContentType,
  sendAppend,
  type AppendRequest,
  type WriteTerms,
} from "./append-request.ts"
import type { StreamContentType } from "./stream-content-type.ts"
import type { AppendResult } from "./write-options.ts"

/**
 * Writes that wait together are joined up to about this size (bytes, or UTF-16 units of text): below the 1 MiB at which
 * gateways often refuse. A larger one goes by itself. Half as much takes twice the requests, and a sixth more time.
 */
const MAX_JOINED_SIZE = 960 * 1024

/**
 * Sends the writes of a handle in the order in which they were called, one request at a time. What waits while a
 * request is under way is joined into the next one, where content types and marks allow it.
 *
 * A write whose body is still a promise holds its place: what was called before goes out, what was called after waits.
 */
export class AppendQueue {
  readonly #endpoint: Endpoint
  readonly #contentType: StreamContentType
  /** The stream as messages may show it. */
  readonly #stream: string
  readonly #joins: boolean
  readonly #waiting: AppendCall[] = []
  #maxJoinedSize = MAX_JOINED_SIZE
  #isSending = false

  /** @param joins - false sends every write by itself */
  constructor(endpoint: Endpoint, contentType: StreamContentType, joins: boolean) {
    this.#endpoint = endpoint
    this.#contentType = contentType
    this.#stream = describeUrl(endpoint.url)
    this.#joins = joins
  }

  /**
   * Queues a write.
   *
   * @param terms - what is said of it
   * @param value - the body, or a promise of it; not looked at where the terms say that there is none
   * @param signal - ends it, beside the handle's
   * @returns what the answer to the request that it went out with says of it
   */
  push(terms: WriteTerms, value: unknown, signal?: AbortSignal): Promise<AppendResult> {
    return new Promise((settle) => {
      const call = new AppendCall(terms, settle)
      if (terms.hasContent) call.take(value, this.#stream)
      if (this.#endpoint.signal !== undefined) call.obey(this.#endpoint.signal)
      if (signal !== undefined) call.obey(signal)
      this.#enqueue(call)
    })
  }

  #enqueue(call: AppendCall): void {
    // A body that can never be sent fails now, whatever it would have to wait for.
    const knownType = call.terms.contentType ?? this.#contentType.current
    if (call.body !== undefined && (knownType !== undefined || isHopeless(call.body))) {
      call.encode(knownType ?? guessContentType(call.body), this.#stream)
    }
    if (call.isSettled) return
    this.#waiting.push(call)
    if (!this.#isSending) void this.#work()
  }

  async #work(): Promise<void> {
    this.#isSending = true
    for (;;) {
      const [first] = this.#waiting
      if (first === undefined) break
      if (first.isSettled) this.#waiting.shift()
      else if (first.isReady) await this.#send(first, this.#takeGroup(first))
      else await first.arrived
    }
    this.#isSending = false
  }

  /** Takes the first call and those behind it that can go out with it. */
  #takeGroup(first: AppendCall): AppendCall[] {
    const type = this.#typeOf(first)
    let count = 1
    let { size } = first
    for (; this.#joins && first.mayShare; count++) {
      const next = this.#waiting[count]
      if (next === undefined || !next.isReady || !next.mayShare) break
      // With the comma in front of it.
      size += next.size + 1
      if (size > this.#maxJoinedSize || this.#typeOf(next) !== type) break
    }
    return this.#waiting.splice(0, count)
  }

  #typeOf({ terms, body }: AppendCall): string {
    return terms.contentType ?? this.#contentType.current ?? (body ? guessContentType(body) : "")
  }

  /**
   * Sends calls in one request. Never rejects: every call is settled when it resolves.
   *
   * @param lead - the call that speaks for all of them: type and marks are theirs too
   */
  async #send(lead: AppendCall, calls: readonly AppendCall[]): Promise<void> {
    const type = this.#typeOf(lead)
    const { hasContent, contentType, marks } = lead.terms
    const ready = calls.filter(
      (call) => !call.isSettled && (!hasContent || call.encode(type, this.#stream)),
    )
    if (ready.length === 0) return
    const controller = new AbortController()
    let waiting = ready.length
    const onSettled = () => {
      if (--waiting === 0) controller.abort()
    }
    for (const call of ready) call.onSettled = onSettled
    let sentCount = ready.length
    // Made anew for every attempt: who gave up in between is left out.
    const body = () => {
      const parts: AppendPart[] = []
      for (const { isSettled, part } of ready) {
        if (!isSettled && part !== undefined) parts.push(part)
      }
      sentCount = parts.length
      return joinParts(parts, type)
    }
    const request: AppendRequest = {
      marks,
      ...(hasContent && { content: { type, body } }),
    }
    try {
      const answer = await sendAppend(this.#endpoint, request, controller.signal)
      if (hasContent && contentType === undefined) this.#contentType.current ??= type
      const offset = answer.headers.get(STREAM_OFFSET_HEADER) ?? ""
      for (const call of ready) call.resolve(offset)
    } catch (error) {
      const failed = ready.filter(({ isSettled }) => !isSettled)
      if (await this.#isWrongGuess(error, lead, type, controller.signal)) {
        await this.#send(lead, failed)
      } else {
        await this.#settleFailed(lead, failed, error, sentCount)
      }
    }
  }

  /**
   * Finds out which of the calls a failure concerns, and sends the others again where nothing was stored.
   *
   * @param sentCount - how many went out together; where somebody gave up meanwhile, the one to blame may be gone
   */
  async #settleFailed(
    lead: AppendCall,
    calls: readonly AppendCall[],
    error: unknown,
    sentCount: number,
  ): Promise<void> {
    if (sentCount < 2 || !blamesBody(error)) {
      for (const call of calls) call.reject(error)
      return
    }
    if (isTooLarge(error)) {
      this.#maxJoinedSize = calls.reduce((size, call) => size + call.size, 0) / 2
    }
    const middle = Math.ceil(calls.length / 2)
    await this.#send(lead, calls.slice(0, middle))
    await this.#send(lead, calls.slice(middle))
  }

  /** Whether a request failed because the content type was a guess, and the stream's is known now. */
  async #isWrongGuess(
    error: unknown,
    lead: AppendCall,
    type: string,
    signal: AbortSignal,
  ): Promise<boolean> {
    const { hasContent, contentType } = lead.terms
    if (!hasContent || contentType !== undefined || !mayBlameContentType(error)) return false
    // Where the server does not tell, the refusal says more than the failed question.
    if (this.#contentType.current === undefined) {
      await this.#contentType.ask(signal).catch(() => undefined)
    }
    const known = this.#contentType.current
    return known !== undefined && mediaType(known) !== mediaType(type)
  }
}
