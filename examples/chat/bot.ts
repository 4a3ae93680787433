import { setTimeout as sleep } from "node:timers/promises"
import {
  IdempotentProducer,
  stream,
  StreamClosedError,
  type DurableStream,
} from "@durable-streams/client"
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
    "Go offline and write to me, and close the tab if you like: your messages wait in an outbox on disk. Each batch has " +
      "a number, and the server takes every number once. When the network is back, whichever tab is open sends them " +
      "until they are acknowledged, and they are stored exactly once, even if only a response was lost.",
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

/**
 * Answers what people say in the room, word by word, until the room is closed. A restart goes on in the middle of an answer: an answer
 * has an id made of its message's, so the room itself says which words are missing.
 */
export async function runBot(room: DurableStream): Promise<void> {
  // A fresh epoch: nothing of an earlier bot arrives after what this one reads.
  const producer = new IdempotentProducer(room, "brook", { autoClaim: true, lingerMs: 0 })
  const written = new Map<string, number>()
  const say = async (id: string, text: string): Promise<void> => {
    const parts: readonly ChatEvent[] = [
      { kind: "answer", id, author: NAME, sentAt: new Date().toISOString() },
      ...text.split(/(?<= )/).map((word) => ({ kind: "token", id, text: word }) as const),
      { kind: "done", id },
    ]
    for (const part of parts.slice(written.get(id) ?? 0)) {
      await sleep(TOKEN_INTERVAL_MS)
      await producer.send(part)
    }
  }
  try {
    const past = await stream<ChatEvent>({ url: room.url, live: false })
    const events = await past.json()
    for (const { id } of events) written.set(id, (written.get(id) ?? 0) + 1)
    await say("greeting", GREETING)
    const answer = async (event: ChatEvent): Promise<void> => {
      if (event.kind === "message") await say(`answer-${event.id}`, answerTo(event.text))
    }
    for (const event of events) await answer(event)
    const heard = await stream<ChatEvent>({ url: room.url, offset: past.offset })
    for await (const event of heard.jsonStream()) await answer(event)
  } catch (error) {
    // Somebody has closed the room. What else the bot fails with ends the bot, and not the room.
    if (!(error instanceof StreamClosedError)) {
      console.error(error)
      return
    }
  }
  console.log("The room is closed")
}

function answerTo(text: string): string {
  return ANSWERS.find(([pattern]) => pattern.test(text))?.[1] ?? FALLBACK
}
