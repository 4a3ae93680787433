import { setTimeout as sleep } from "node:timers/promises"
import { IdempotentProducer, stream, type DurableStream } from "@durable-streams/client"
import type { ChatEvent } from "./chat-event.ts"

const NAME = "Brook"
const TOKEN_INTERVAL_MS = 45

const GREETING =
  "Hello, I am Brook, a bot who lives on a stream. Ask me about offsets, reloads or going offline, and reload this " +
  "page while I answer."

const ANSWERS: readonly (readonly [RegExp, string])[] = [
  [
    /offset|resume|reload/i,
    "Every batch that you read comes with an offset. This page saves it together with what it shows, in one write, and " +
      "starts there when it is reloaded. So a reload in the middle of this sentence asks for the words that are still " +
      "missing, and for none that you have seen.",
  ],
  [
    /offline|network|lost|twice/i,
    "Go offline and write to me: your messages wait in the producer. Each batch has a number, and the server takes every " +
      "number once. When the network is back they are sent again until they are acknowledged, and stored exactly once, " +
      "even if only the answer was lost.",
  ],
  [
    /tab|hidden|many/i,
    "Open as many tabs as you like: each one tails the same stream, and the server remembers nothing about any of them. " +
      "A tab that you cannot see pauses, and catches up from its offset when you look at it again.",
  ],
  [
    /token|word|stream|how/i,
    "I write every word as a small JSON message the moment I have it. The page follows by server-sent events and puts " +
      "the words together. If something between us holds those back, it goes on by long-polling, and you would only " +
      "notice at the state on top.",
  ],
]

const FALLBACK =
  "I know four things: what an offset is, what a reload does, what happens to messages while you are offline, and why " +
  "this works in many tabs at once. Ask me about one of them."

/** Answers what people say in the room, word by word, until the signal is aborted. */
export async function runBot(room: DurableStream, signal: AbortSignal): Promise<void> {
  const producer = new IdempotentProducer(room, "brook", { lingerMs: 0, signal })
  const say = async (text: string): Promise<void> => {
    const id = crypto.randomUUID()
    const write = (event: ChatEvent): void => producer.append(event)
    write({ kind: "answer", id, author: NAME, sentAt: new Date().toISOString() })
    for (const word of text.split(/(?<= )/)) {
      await sleep(TOKEN_INTERVAL_MS, undefined, { signal })
      write({ kind: "token", id, text: word })
    }
    write({ kind: "done", id })
  }
  try {
    const heard = await stream<ChatEvent>({ url: room.url, offset: "now", signal })
    await say(GREETING)
    for await (const event of heard.jsonStream()) {
      if (event.kind === "message") await say(answerTo(event.text))
    }
  } catch (error) {
    if (!signal.aborted) throw error
  }
}

function answerTo(text: string): string {
  return ANSWERS.find(([pattern]) => pattern.test(text))?.[1] ?? FALLBACK
}
