import type { StreamEvent } from "@durable-streams/client"
import type { ChatEvent } from "../chat-event.ts"
import type { Entry } from "./chat-log.ts"
import { inWords, shortOffset, type ConnectionState } from "./connection-state.ts"

const MAX_ACTIVITIES = 14

/** What is on the screen. */
export class ChatView {
  readonly #me: string
  readonly #log = element("log", HTMLOListElement)
  readonly #activities = element("activities", HTMLOListElement)
  readonly #pill = element("connection", HTMLElement)
  readonly #offset = element("offset", HTMLElement)
  readonly #requests = element("requests", HTMLElement)
  readonly #messages = element("messages", HTMLElement)
  readonly #form = element("composer", HTMLFormElement)
  readonly #input = element("text", HTMLInputElement)
  // By id, and not found by it in the document: ids come from the stream, so they can be anything.
  readonly #items = new Map<string, HTMLElement>()
  readonly #unsent = new Map<string, HTMLElement>()

  constructor(me: string) {
    this.#me = me
    element("me", HTMLElement).textContent = me
  }

  /** Calls back with what the user sends. */
  onSend(callback: (text: string) => void): void {
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault()
      const text = this.#input.value.trim()
      if (text === "") return
      this.#input.value = ""
      callback(text)
    })
  }

  /** Shows the conversation. Only what changed is touched. */
  showEntries(entries: readonly Entry[]): void {
    const following = this.#isAtEnd()
    for (const entry of entries) {
      this.#unsent.get(entry.id)?.remove()
      this.#unsent.delete(entry.id)
      const item = this.#items.get(entry.id) ?? this.#add(entry)
      this.#items.set(entry.id, item)
      item.dataset["complete"] = String(entry.complete)
      const text = item.querySelector(".text")
      if (text !== null && text.textContent !== entry.text) text.textContent = entry.text
    }
    this.#log.append(...this.#unsent.values())
    if (following) this.#log.lastElementChild?.scrollIntoView({ block: "end" })
  }

  /** Shows what was typed and is not in the stream yet. */
  addUnsent({ id, author, text, sentAt }: Extract<ChatEvent, { kind: "message" }>): void {
    const item = this.#add({ author, text, sentAt })
    item.classList.add("unsent")
    this.#unsent.set(id, item)
    item.scrollIntoView({ block: "end" })
  }

  /** Says that it will not get there. */
  markFailed(id: string, why: string): void {
    const item = this.#unsent.get(id)
    item?.classList.add("failed")
    item?.setAttribute("title", why)
  }

  showConnection({ tone, label }: ConnectionState): void {
    this.#pill.dataset["tone"] = tone
    this.#pill.textContent = label
  }

  /** Shows where a reload would go on, and what this visit has cost. */
  showProgress(offset: string, requests: number, messages: number): void {
    this.#offset.textContent = shortOffset(offset)
    this.#offset.title = offset
    this.#requests.textContent = String(requests)
    this.#messages.textContent = String(messages)
  }

  /** Adds a line to the list of what the client does. */
  showActivity(event: StreamEvent): void {
    const words = inWords(event)
    if (words === undefined) return
    const item = document.createElement("li")
    item.dataset["kind"] = event.kind
    const time = document.createElement("time")
    time.textContent = clock(new Date())
    item.append(time, words)
    this.#activities.prepend(item)
    while (this.#activities.children.length > MAX_ACTIVITIES) {
      this.#activities.lastElementChild?.remove()
    }
  }

  #add({ author, text, sentAt }: Omit<Entry, "id" | "complete">): HTMLElement {
    const item = document.createElement("li")
    if (author === this.#me) item.classList.add("mine")
    if (author === "Brook") item.classList.add("bot")
    item.style.setProperty("--hue", String(hueOf(author)))
    const avatar = span("avatar", author.slice(0, 1))
    avatar.ariaHidden = "true"
    const head = span("head", "")
    head.append(span("author", author), span("time", clock(new Date(sentAt)).slice(0, 5)))
    const bubble = span("bubble", "")
    bubble.append(head, span("text", text))
    item.append(avatar, bubble)
    this.#log.append(item)
    return item
  }

  #isAtEnd(): boolean {
    const { scrollTop, scrollHeight, clientHeight } = this.#log
    return scrollHeight - scrollTop - clientHeight < 80
  }
}

function element<T extends Element>(id: string, type: new () => T): T {
  const found = document.getElementById(id)
  if (!(found instanceof type)) throw new Error(`The page has no ${id}`)
  return found
}

function span(className: string, text: string): HTMLSpanElement {
  const made = document.createElement("span")
  made.className = className
  made.textContent = text
  return made
}

function clock(date: Date): string {
  const parts = { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" } as const
  return date.toLocaleTimeString([], parts)
}

/** A colour that is the same for a name everywhere. */
function hueOf(name: string): number {
  return [...name].reduce((hash, letter) => (hash * 31 + (letter.codePointAt(0) ?? 0)) % 360, 7)
}
