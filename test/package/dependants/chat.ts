import {
  createDurableChatTransport,
  toDurableStreamResponse,
} from "@durable-streams/aisdk-transport"
import {
  durableStreamConnection,
  ensureDurableChatSessionStream,
  materializeSnapshotFromDurableStream,
  toDurableChatSessionResponse,
} from "@durable-streams/tanstack-ai-transport"

async function* model(words: string[]) {
  yield { type: "TEXT_MESSAGE_START", messageId: "answer", role: "assistant" }
  for (const delta of words) {
    await new Promise((resolve) => setTimeout(resolve, 1))
    yield { type: "TEXT_MESSAGE_CONTENT", messageId: "answer", delta }
  }
  yield { type: "TEXT_MESSAGE_END", messageId: "answer" }
}

const words = Array.from({ length: 50 }, (_, i) => `${i} é `)

async function session(serverUrl: string): Promise<unknown> {
  const writeUrl = `${serverUrl}/session`
  await ensureDurableChatSessionStream({ writeUrl })
  await ensureDurableChatSessionStream({ writeUrl })
  const connection = durableStreamConnection({ sendUrl: "http://unused.test/", readUrl: writeUrl })
  const stop = new AbortController()
  let live = ""
  const reading = (async () => {
    for await (const chunk of connection.subscribe(stop.signal)) {
      live += chunk.delta ?? ""
      if (chunk.type === "TEXT_MESSAGE_END" && chunk.messageId === "answer") break
    }
  })()
  const { status } = await toDurableChatSessionResponse({
    stream: { writeUrl, headers: { Authorization: async () => "Bearer token" } },
    newMessages: [{ id: "question", role: "user", parts: [{ type: "text", content: "? " }] }],
    responseStream: model(words),
    mode: "await",
  })
  await reading
  stop.abort()
  const { messages, offset } = await materializeSnapshotFromDurableStream({ readUrl: writeUrl })
  return {
    status,
    // The subscription gives what was there before it as one snapshot, whatever that was.
    isLive: `? ${words.join("")}`.endsWith(live) && live !== "",
    stored: messages.map(({ id, parts }) => [id, parts[0].content.length]),
    offset: typeof offset,
  }
}

async function answer(serverUrl: string): Promise<unknown> {
  const writeUrl = `${serverUrl}/answer`
  const writes: Promise<unknown>[] = []
  const transport = createDurableChatTransport({
    api: "http://unused.test/chat",
    fetchClient: (url) =>
      String(url).endsWith("/stream")
        ? Promise.resolve(Response.json({ streamUrl: writeUrl }))
        : toDurableStreamResponse({
            source: model(words),
            stream: { writeUrl },
            waitUntil: (write) => writes.push(write),
          }),
  })
  const chunks = await transport.sendMessages({
    trigger: "submit-message",
    chatId: "1",
    messageId: undefined,
    messages: [],
    abortSignal: undefined,
  })
  const again = await transport.reconnectToStream({ chatId: "1" })
  const texts = await Promise.all(
    [chunks, again ?? []].map(async (source) => {
      let text = ""
      for await (const { delta } of source) text += delta ?? ""
      return text === words.join("")
    }),
  )
  await Promise.all(writes)
  return texts
}

/** A conversation by way of one package, an answer by way of the other. */
export async function run(serverUrl: string): Promise<unknown> {
  return { session: await session(serverUrl), answer: await answer(serverUrl) }
}
