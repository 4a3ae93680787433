import type { ChatEvent } from "../chat-event.ts"
import type { Entry } from "./chat-log.ts"
import { element } from "./element.ts"

type Message = Extract<ChatEvent, { kind: "message" }>

/** The conversation on the screen, and where the user writes. */
export class ChatView {
  readonly #me: string
  readonly #log = element("log", HTMLOListElement)
  readonly #announcer = element("announcer", HTMLElement)
  readonly #form = element("composer", HTMLFormElement)
  readonly #fields = element("fields", HTMLFieldSetElement)
  readonly #input = element("text", HTMLInputElement)
  // By id, and not found by it in the document: ids come from the stream, so they can be anything.
  readonly #items = new Map<string, HTMLElement>()
  readonly #unsent = new Map<string, HTMLElement>()
  /** Whether the end of the conversation stays in view. */
  #isFollowing = true

  constructor(me: string) {
    this.#me = me
    element("me", HTMLElement).textContent = me
    this.#log.addEventListener("scroll", () => (this.#isFollowing = this.#isAtEnd()))
    new ResizeObserver(() => this.#follow()).observe(this.#log)
  }

  /** Lets the user write, and calls back with what is sent. Before, a form would load the page again. */
  onSend(callback: (text: string) => void): void {
    this.#fields.disabled = false
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault()
      const text = this.#input.value.trim()
      if (text === "") return
      this.#input.value = ""
      callback(text)
    })
  }

  /**
   * Shows the conversation. Only what changed is touched.
   *
   * @param isLive - whether the changes happen now: they are announced, and move
   */
  showEntries(entries: readonly Entry[], isLive: boolean): void {
    for (const entry of entries) {
      this.#unsent.get(entry.id)?.remove()
      this.#unsent.delete(entry.id)
      const item = this.#items.get(entry.id) ?? this.#add(entry, isLive)
      this.#items.set(entry.id, item)
      const text = item.querySelector(".text")
      if (text !== null && text.textContent !== entry.text) text.textContent = entry.text
      const isDone = entry.complete && item.dataset["complete"] !== "true"
      if (isDone && isLive && entry.author !== this.#me) this.#announce(entry)
      item.dataset["complete"] = String(entry.complete)
    }
    this.#log.append(...this.#unsent.values())
    this.#follow()
  }

  /** Shows what was written and is not in the stream yet. */
  addUnsent(message: Message): void {
    // It has arrived meanwhile, or is shown already.
    if (this.#items.has(message.id) || this.#unsent.has(message.id)) return
    const item = this.#add(message, false)
    item.classList.add("unsent")
    this.#unsent.set(message.id, item)
    this.#isFollowing = true
    this.#follow()
  }

  /** Says of a message that it is not sent; without an id, of all that wait. */
  markFailed(why: string, id?: string): void {
    const items = id === undefined ? this.#unsent.values() : [this.#unsent.get(id)]
    for (const item of items) {
      item?.classList.add("failed")
      item?.setAttribute("title", why)
    }
  }

  /** Takes no more messages. */
  close(): void {
    this.#fields.disabled = true
    this.#input.placeholder = "The room is closed"
  }

  /** What a screen reader says: whole messages, and not the words of an answer one by one. */
  #announce({ author, text }: Entry): void {
    const said = document.createElement("p")
    said.textContent = `${author}: ${text}`
    this.#announcer.replaceChildren(said)
  }

  #add({ author, text, sentAt }: Omit<Entry, "id" | "complete">, isNew: boolean): HTMLElement {
    const item = document.createElement("li")
    if (author === this.#me) item.classList.add("mine")
    if (author === "Brook") item.classList.add("bot")
    if (isNew) item.classList.add("new")
    item.style.setProperty("--hue", String(hueOf(author)))
    const avatar = span("avatar", author.slice(0, 1))
    avatar.ariaHidden = "true"
    const head = span("head", "")
    head.append(span("author", author), span("time", new Date(sentAt).toTimeString().slice(0, 5)))
    const bubble = span("bubble", "")
    bubble.append(head, span("text", text))
    item.append(avatar, bubble)
    this.#log.append(item)
    return item
  }

  #follow(): void {
    if (this.#isFollowing) this.#log.scrollTop = this.#log.scrollHeight
  }

  #isAtEnd(): boolean {
    const { scrollTop, scrollHeight, clientHeight } = this.#log
    return scrollHeight - scrollTop - clientHeight < 80
  }
}

function span(className: string, text: string): HTMLSpanElement {
  const made = document.createElement("span")
  made.className = className
  made.textContent = text
  return made
}

/** A colour that is the same for a name everywhere. */
function hueOf(name: string): number {
  return [...name].reduce((hash, letter) => (hash * 31 + (letter.codePointAt(0) ?? 0)) % 360, 7)
}
