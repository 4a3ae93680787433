import type { ChatEvent } from "../chat-event.ts"

/** One thing that was said, as far as it is known. */
export interface Entry {
  readonly id: string
  readonly author: string
  readonly text: string
  readonly sentAt: string
  readonly complete: boolean
}

/** How much of a long conversation is kept. */
const MAX_ENTRIES = 300

/** The conversation after another event. */
export function withEvent(entries: readonly Entry[], event: ChatEvent): readonly Entry[] {
  switch (event.kind) {
    case "message": {
      const { id, author, text, sentAt } = event
      return [...entries, { id, author, text, sentAt, complete: true }].slice(-MAX_ENTRIES)
    }
    case "answer": {
      const { id, author, sentAt } = event
      return [...entries, { id, author, text: "", sentAt, complete: false }].slice(-MAX_ENTRIES)
    }
    case "token":
      return entries.map((entry) =>
        entry.id === event.id ? { ...entry, text: entry.text + event.text } : entry,
      )
    case "done":
      return entries.map((entry) => (entry.id === event.id ? { ...entry, complete: true } : entry))
    default:
      // Anybody can write to the stream, a newer version of this page among them.
      return entries
  }
}
