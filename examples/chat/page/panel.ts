import type { ConnectionState, StreamEvent } from "@durable-streams/client"
import type { OutboxEvent } from "@durable-streams/client/outbox"
import { element } from "./element.ts"
import {
  connectionInWords,
  NO_RESPONSE,
  readInWords,
  shortOffset,
  writeInWords,
  type Connection,
} from "./in-words.ts"

const MAX_ACTIVITIES = 14
/** A server that has a connection responds sooner. */
const NO_RESPONSE_MS = 4_000

/** The state on top and the list beside the chat: what the client does, as `observe` reports it. */
export class Panel {
  readonly #activities = element("activities", HTMLOListElement)
  readonly #pill = element("connection", HTMLElement)
  readonly #offset = element("offset", HTMLElement)
  readonly #requests = element("requests", HTMLElement)
  #state: ConnectionState = { kind: "connecting" }
  #requestCount = 0
  #noResponseTimer: ReturnType<typeof setTimeout> | undefined

  /** Shows an event of reading. */
  showRead(event: StreamEvent): void {
    clearTimeout(this.#noResponseTimer)
    if (event.kind === "state") this.#state = event.state
    this.#showConnection(connectionInWords(this.#state))
    if (event.kind === "request") {
      this.#requests.textContent = String(++this.#requestCount)
      const isWaiting = ["connecting", "catching-up", "retrying"].includes(this.#state.kind)
      if (isWaiting) {
        const show = () => this.#showConnection(NO_RESPONSE)
        this.#noResponseTimer = setTimeout(show, NO_RESPONSE_MS)
      }
    }
    this.#add(event.kind, readInWords(event))
  }

  /** Shows an event of the outbox. */
  showWrite(event: OutboxEvent): void {
    this.#add(event.kind, writeInWords(event))
  }

  /** Shows where a reload would go on. */
  showOffset(offset: string): void {
    this.#offset.textContent = shortOffset(offset)
    this.#offset.title = offset
  }

  #showConnection({ tone, label }: Connection): void {
    // A status that is written again is read out again.
    if (this.#pill.textContent === label) return
    this.#pill.dataset["tone"] = tone
    this.#pill.textContent = label
  }

  #add(kind: string, words: string | undefined): void {
    if (words === undefined) return
    const item = document.createElement("li")
    item.dataset["kind"] = kind
    const time = document.createElement("time")
    time.textContent = new Date().toTimeString().slice(0, 8)
    item.append(time, words)
    this.#activities.prepend(item)
    while (this.#activities.children.length > MAX_ACTIVITIES) {
      this.#activities.lastElementChild?.remove()
    }
  }
}
