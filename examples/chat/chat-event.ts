/** What the room's stream holds: one JSON message for each. */
export type ChatEvent =
  /** Somebody said something. */
  | {
      readonly kind: "message"
      readonly id: string
      readonly author: string
      readonly text: string
      readonly sentAt: string
    }
  /** The bot begins to answer. */
  | {
      readonly kind: "answer"
      readonly id: string
      readonly author: string
      readonly sentAt: string
    }
  /** The next piece of an answer. */
  | { readonly kind: "token"; readonly id: string; readonly text: string }
  /** The answer is complete. */
  | { readonly kind: "done"; readonly id: string }
