import { monotonicMs } from "../platform/clock.ts"
import { decodeUtf8 } from "../platform/text.ts"
import { joinBytes } from "../protocol/bytes.ts"
import type { Offset } from "../protocol/offset.ts"
import type { PageSource, SourcePage, TransferFailure } from "../read/page.ts"
import { HEARTBEAT_MS } from "./follower-state.ts"
import { Ring } from "./ring.ts"
import {
  isDocuments,
  MAX_SHARED_SIZE,
  sizeOf,
  type FeedName,
  type Message,
  type SharedContent,
} from "./wire.ts"

/** What a {@link Holder} needs. */
export interface HolderSettings {
  readonly name: FeedName
  /** The live session whose pages all participants get. */
  readonly feed: PageSource
  readonly offset: Offset
  /** Whether pages are JSON documents. */
  readonly isJson: boolean
  readonly isHidden: () => boolean
  /** Whether the lock is still this participant's. */
  readonly isHeld: () => Promise<boolean>
  /** Gives a message to the others, and to this participant's own follower. */
  readonly send: (message: Message) => void
  /** The session is over; the lock is worth nothing to this participant. */
  readonly onEnd: () => void
}

/** A timer that is this late says that the page slept. */
const SLEPT_MS = 2 * HEARTBEAT_MS

/**
 * Holds the live connection: reads pages as fast as they come, whatever the consumers do, sends them to the others, and keeps
 * the latest for those that missed some.
 */
export class Holder {
  readonly #settings: HolderSettings
  readonly #ring: Ring
  #offset: Offset
  #timer: ReturnType<typeof setTimeout> | undefined
  /** When this page was certainly awake. */
  #awakeAtMs = monotonicMs()
  #isOver = false

  constructor(settings: HolderSettings) {
    this.#settings = settings
    this.#offset = settings.offset
    this.#ring = new Ring(settings.feed.maxPageBytes)
    void this.#forward()
  }

  /** Says how far the connection is. */
  announce(): void {
    void this.#send(() => ({
      kind: "offset",
      ...this.#settings.name,
      offset: this.#offset,
      isHidden: this.#settings.isHidden(),
    }))
  }

  /** Sends the pages behind an offset again, if it is the start of one that is still here; else says how far it is. */
  respond(from: Offset): void {
    const page = from === this.#offset ? undefined : this.#ring.from(from)
    if (page === undefined) this.announce()
    else void this.#send(() => ({ kind: "page", ...this.#settings.name, ...page }))
  }

  /** Ends the connection, and says so. */
  leave(): void {
    void this.#send(() => ({ kind: "left", ...this.#settings.name }))
    this.stop()
  }

  /** Ends the connection: the lock is another participant's. */
  stop(): void {
    this.#isOver = true
    clearTimeout(this.#timer)
    this.#settings.feed.cancel(undefined)
  }

  async #forward(): Promise<void> {
    const { feed, name, onEnd } = this.#settings
    try {
      for (;;) {
        const page = await feed.next()
        if (page === undefined) break
        const read = await this.#read(page)
        if (read.kind === "failed") {
          feed.reject(page, read.failure)
          continue
        }
        const { content, size } = read
        const end = feed.commit(page, { empty: isEmpty(content), bytes: size })
        const shared = { start: page.start, end, content }
        await this.#send(() => {
          this.#offset = end.offset
          this.#ring.add(shared)
          return { kind: "page", ...name, ...shared }
        })
        if (this.#isOver) return
      }
    } catch {
      // Only this participant is affected: the others learn by their own requests.
    }
    if (!this.#isOver) onEnd()
  }

  /** The whole page; no content if it is too large to be sent. */
  async #read(page: SourcePage): Promise<SharedRead> {
    const { payload } = page
    const { isJson } = this.#settings
    if (payload.texts !== undefined && isJson) return shared(payload.texts)
    const chunks: Uint8Array[] = []
    let size = 0
    for (;;) {
      const read = await payload.read()
      if (read.kind === "failed") return read
      if (read.kind === "end") break
      chunks.push(read.bytes)
      size += read.bytes.byteLength
      if (size > MAX_SHARED_SIZE) {
        payload.release()
        return { kind: "content", content: undefined, size }
      }
    }
    const bytes = joinBytes(chunks)
    if (!isJson) return shared(bytes)
    const document = decodeUtf8(bytes).replace(/^\uFEFF/, "")
    const isBlank = document.trim() === ""
    // A page that lost its content: each follower that reads it for itself notices.
    const isLost = isBlank && payload.bodiless === undefined && page.start !== page.end.offset
    if (isLost) return { kind: "content", content: undefined, size: 0 }
    return shared(isBlank ? [] : [document])
  }

  /** Sends a message; a page that slept makes sure first that it is still the holder. */
  async #send(message: () => Message): Promise<void> {
    if (monotonicMs() - this.#awakeAtMs > SLEPT_MS && !(await this.#settings.isHeld())) return
    if (this.#isOver) return
    this.#awakeAtMs = monotonicMs()
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => {
      this.announce()
    }, HEARTBEAT_MS)
    this.#settings.send(message())
  }
}

type SharedRead =
  | { readonly kind: "content"; readonly content: SharedContent | undefined; readonly size: number }
  | { readonly kind: "failed"; readonly failure: TransferFailure }

function shared(content: SharedContent): SharedRead {
  const size = sizeOf(content)
  return { kind: "content", content: size > MAX_SHARED_SIZE ? undefined : content, size }
}

/** Whether a page has no content: JSON has none in `[]` too. */
function isEmpty(content: SharedContent | undefined): boolean {
  if (content === undefined) return false
  if (!isDocuments(content)) return content.byteLength === 0
  return content.every((document) => document.length < 20 && /^\s*\[\s*\]\s*$/.test(document))
}
