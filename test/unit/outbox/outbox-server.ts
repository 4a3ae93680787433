import { DurableStream } from "../../../src/index.ts"
import {
  openOutbox,
  type Outbox,
  type OutboxEvent,
  type OutboxOptions,
} from "../../../src/outbox/index.ts"
import { MemoryDatabase, memoryStore } from "../../support/memory-outbox-store.ts"
import { runInVirtualTime } from "../../support/virtual-time.ts"
import type { VirtualClock } from "../../support/virtual-clock.ts"

/** A POST as the server got it. */
export interface Post {
  readonly id: string
  readonly epoch: number
  readonly seq: number
  readonly body: string
  readonly closes: boolean
}

/** What becomes of a POST: a response, a lost one, or none until the test gives it. */
export type Reply = Response | "lost" | Promise<Response>

/** An outbox's surroundings: a database, and a server whose responses the test decides. */
export class OutboxStage {
  static readonly url = "https://streams.example.com/orders"
  readonly clock: VirtualClock
  readonly database: MemoryDatabase
  readonly posts: Post[] = []
  readonly events: OutboxEvent[] = []
  /** Accepts everything, unless the test replaces it. */
  reply: (post: Post, index: number) => Reply = ({ epoch, seq }) => accepted(epoch, seq)

  constructor(clock: VirtualClock) {
    this.clock = clock
    this.database = new MemoryDatabase({ now: () => clock.now() })
  }

  /** A handle whose requests reach the stage's server. */
  stream(url = OutboxStage.url, headers?: Record<string, string>): DurableStream {
    return new DurableStream({
      url,
      ...(headers && { headers }),
      contentType: "application/json",
      warnOnRetry: false,
      fetch: async (_, init) => {
        const given = new Headers(init?.headers)
        const body = init?.body as Uint8Array<ArrayBuffer> | undefined
        const post = {
          id: given.get("producer-id")!,
          epoch: Number(given.get("producer-epoch")),
          seq: Number(given.get("producer-seq")),
          body: new TextDecoder().decode(body),
          closes: given.get("stream-closed") === "true",
        }
        const reply = this.reply(post, this.posts.push(post) - 1)
        if (reply === "lost") throw new TypeError("fetch failed")
        return reply
      },
    })
  }

  open(options: Partial<OutboxOptions> = {}, stream = this.stream()): Promise<Outbox> {
    const observe = (event: OutboxEvent) => void this.events.push(event)
    return openOutbox(stream, { store: memoryStore(this.database), observe, ...options })
  }

  /** Waits for a condition. */
  async until(isMet: () => boolean): Promise<void> {
    while (!isMet()) await this.clock.sleep(10)
  }

  /** What the store holds, as text. */
  get dump(): string {
    return JSON.stringify([...this.database.disk.records.values()].map(({ json }) => json))
  }
}

/** Runs a test in virtual time: a back-off takes no time, and what is left at its end is an error. */
export async function staged(test: (stage: OutboxStage) => Promise<void>): Promise<void> {
  const options = { startMs: Date.UTC(2027, 0, 1), deadlineMs: 30 * 86_400_000 }
  const report = await runInVirtualTime(options, (clock) => test(new OutboxStage(clock)))
  if (report.unhandledRejections.length > 0) throw report.unhandledRejections[0] as Error
}

/** The response to a batch that is stored. */
export function accepted(epoch: number, seq: number): Response {
  return new Response(null, { status: 200, headers: numbers(epoch, seq) })
}

/** The response to a batch that was stored before. */
export function duplicate(epoch: number, lastSeq: number): Response {
  return new Response(null, { status: 204, headers: numbers(epoch, lastSeq) })
}

function numbers(epoch: number, seq: number): Record<string, string> {
  return { "producer-epoch": String(epoch), "producer-seq": String(seq), "stream-next-offset": "1" }
}
