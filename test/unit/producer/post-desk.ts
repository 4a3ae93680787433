import {
  DurableStream,
  IdempotentProducer,
  type IdempotentProducerOptions,
} from "../../../src/index.ts"

/** A request that waits for its response. */
export class Post {
  readonly method: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
  readonly keepalive: boolean
  isAborted = false
  #settle: { resolve: (response: Response) => void; reject: (error: unknown) => void }

  constructor(
    init: RequestInit,
    settle: { resolve: (response: Response) => void; reject: (error: unknown) => void },
  ) {
    this.method = init.method ?? "GET"
    // The client promises to give a plain object.
    this.headers = init.headers as Record<string, string>
    this.body = init.body instanceof Uint8Array ? new TextDecoder().decode(init.body) : ""
    this.keepalive = init.keepalive ?? false
    this.#settle = settle
    init.signal?.addEventListener("abort", () => {
      this.isAborted = true
      settle.reject(init.signal?.reason)
    })
  }

  /** `epoch.seq`. */
  get number(): string {
    return `${this.headers["Producer-Epoch"]}.${this.headers["Producer-Seq"]}`
  }

  respond(status: number, headers: Record<string, string> = {}, body: string | null = null): void {
    this.#settle.resolve(new Response(body, { status, headers }))
  }

  /** Keeps the response that comes next on its way until the function that this returns is called. */
  holdBack(): () => void {
    const settle = this.#settle
    let arrive = (): void => undefined
    this.#settle = {
      ...settle,
      resolve: (response) => {
        arrive = () => settle.resolve(response)
      },
    }
    return () => arrive()
  }

  /** Stored. */
  accept(offset = `after-${this.number}`): void {
    this.respond(200, { "Stream-Next-Offset": offset })
  }

  /** Stored before. */
  duplicate(storedSeq = Number(this.headers["Producer-Seq"])): void {
    this.respond(204, {
      "Producer-Epoch": this.headers["Producer-Epoch"] ?? "",
      "Producer-Seq": String(storedSeq),
    })
  }

  gap(expectedSeq: number): void {
    this.respond(409, {
      "Producer-Expected-Seq": String(expectedSeq),
      "Producer-Received-Seq": this.headers["Producer-Seq"] ?? "",
    })
  }

  /** Fenced by an epoch. */
  fence(epoch: number): void {
    this.respond(403, { "Producer-Epoch": String(epoch) })
  }

  closed(): void {
    this.respond(409, { "Stream-Closed": "true", "Stream-Next-Offset": "the-end" })
  }

  /** It is redirected more often than `fetch` follows. */
  loseInRedirects(): void {
    const cause = new Error("redirect count exceeded")
    this.#settle.reject(new TypeError("fetch failed", { cause }))
  }

  /** Nothing listens there: the server never saw it. */
  refuse(): void {
    this.#settle.reject(new TypeError("fetch failed", { cause: { code: "ECONNREFUSED" } }))
  }

  /** The connection breaks; whether the server has done it, nobody knows. */
  lose(): void {
    this.#settle.reject(new TypeError("fetch failed", { cause: { code: "ECONNRESET" } }))
  }
}

/** Where a producer's requests wait until the test responds, to each when and how it likes. */
export class PostDesk {
  readonly posts: Post[] = []
  readonly #waiting: (() => void)[] = []
  /** Responds at once instead of waiting for the test. */
  reply: ((post: Post) => void) | undefined

  readonly fetch: typeof globalThis.fetch = (_url, init = {}) =>
    new Promise<Response>((resolve, reject) => {
      const post = new Post(init, { resolve, reject })
      this.posts.push(post)
      for (const wake of this.#waiting.splice(0)) wake()
      this.reply?.(post)
    })

  /** The n-th request, from 0, once it is there. */
  async post(index: number): Promise<Post> {
    for (;;) {
      const post = this.posts[index]
      if (post !== undefined) return post
      await new Promise<void>((resolve) => this.#waiting.push(resolve))
    }
  }

  /** `epoch.seq` of every request so far. */
  get numbers(): string[] {
    return this.posts.map(({ number }) => number)
  }

  producer(
    options: IdempotentProducerOptions = {},
    contentType: string | null = "text/plain",
  ): IdempotentProducer {
    const stream = new DurableStream({
      url: "http://desk.test/stream?token=secret",
      fetch: this.fetch,
      ...(contentType !== null && { contentType }),
    })
    return new IdempotentProducer(stream, "desk", { lingerMs: 0, ...options })
  }
}

/** Lets everything happen that needs no further time. */
export async function settled(): Promise<void> {
  for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve))
}

/** Appends messages of one letter each and sends them off. With `maxBatchBytes: 1` each is a batch. */
export function appendAll(producer: IdempotentProducer, messages: string): void {
  for (const message of messages) producer.append(message)
  void producer.flush()
}

/** What a producer gives back, as text. */
export function undelivered(producer: IdempotentProducer): string[] {
  return producer.undelivered().map((bytes) => new TextDecoder().decode(bytes))
}
