import type { VirtualClock } from "../../support/virtual-clock.ts"

/** One numbered POST as the client made it. */
export interface NumberedPost {
  atMs: number
  epoch: number
  seq: number
  body: string
  /** The status that the client saw; undefined without a response. */
  status?: number
}

/** Watches what one producer sends and what it sees of the responses. */
export class WireRecord {
  readonly posts: NumberedPost[] = []
  readonly problems: string[] = []
  /** When the newest request was made, whatever it was. */
  newestRequestMs = -1
  /** The bodies of batches that were, detectably, mistaken for batches of another lifetime. */
  readonly foreignDuplicates: string[] = []
  /** A first attempt got the response of a duplicate. */
  hasCleanDuplicate = false
  /** A HEAD got the headers of something between the client and the server: nothing shows that its content type is wrong. */
  isTypeMisled = false
  readonly fetch: typeof globalThis.fetch
  readonly #bodies = new Map<string, string>()
  readonly #knownEpochs = new Set<number>()
  /** Batches of which an attempt may have been applied, or has no end: it hangs, also when it is aborted. */
  readonly #attempted = new Set<string>()
  readonly #highestSent = new Map<number, number>()
  #hasStored = false

  constructor(fetch: typeof globalThis.fetch, clock: VirtualClock) {
    this.fetch = (input, init) => {
      this.newestRequestMs = clock.elapsedMs
      // The client promises to give a plain object.
      const headers = (init?.headers ?? {}) as Record<string, string>
      const epoch = headers["Producer-Epoch"]
      const seq = headers["Producer-Seq"]
      if (init?.method === "HEAD") return this.#watchHead(fetch(input, init))
      if (epoch === undefined || seq === undefined) return fetch(input, init)
      const body = init?.body instanceof Uint8Array ? new TextDecoder().decode(init.body) : ""
      const post = { atMs: clock.elapsedMs, epoch: Number(epoch), seq: Number(seq), body }
      return this.#watch(post, fetch(input, init))
    }
  }

  /** Whether the client knows that the first batch of an epoch is stored. */
  isEpochKnown(epoch: number): boolean {
    return this.#knownEpochs.has(epoch)
  }

  async #watchHead(responding: Promise<Response>): Promise<Response> {
    const response = await responding
    this.isTypeMisled ||= response.ok && !response.headers.has("stream-next-offset")
    return response
  }

  async #watch(post: NumberedPost, responding: Promise<Response>): Promise<Response> {
    const { epoch, seq, body } = post
    const number = `${epoch}.${seq}`
    const before = this.#bodies.get(number)
    if (before !== undefined && before !== body) {
      this.problems.push(`batch ${number} was sent with two bodies: ${before} and ${body}`)
    }
    this.#bodies.set(number, body)
    this.posts.push(post)
    this.#highestSent.set(epoch, Math.max(seq, this.#highestSent.get(epoch) ?? 0))
    const isClean = !this.#attempted.has(number)
    this.#attempted.add(number)
    let response: Response
    try {
      response = await responding
    } catch (error) {
      if (isClean && isRefused(error)) this.#attempted.delete(number)
      throw error
    }
    post.status = response.status
    if (isClean && [429, 500, 503].includes(response.status)) this.#attempted.delete(number)
    if (response.status === 204 && body !== "") this.#noteDuplicate(post, response, isClean)
    if (response.status === 200) this.#hasStored = true
    if (response.ok && seq === 0) this.#knownEpochs.add(epoch)
    return response
  }

  /** What API.md says that a producer with an explicit epoch detects. */
  #noteDuplicate(post: NumberedPost, { headers }: Response, isClean: boolean): void {
    const stored = headers.get("producer-seq")
    if (stored === null && headers.get("producer-epoch") === null) return
    if (headers.get("stream-closed") !== null) return
    if (isClean) this.hasCleanDuplicate = true
    const highest = this.#highestSent.get(post.epoch) ?? 0
    const isAbove = stored !== null && Number(stored) > highest
    if (isAbove || (isClean && !this.#hasStored)) this.foreignDuplicates.push(post.body)
  }
}

function isRefused(error: unknown): boolean {
  const cause = error instanceof Error ? (error.cause as { code?: string } | undefined) : undefined
  return cause?.code === "ECONNREFUSED"
}
