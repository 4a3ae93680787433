import { YjsProvider } from "@durable-streams/y-durable-streams"
import { YjsServer } from "@durable-streams/y-durable-streams/server"
import { Awareness } from "y-protocols/awareness"
import { Doc } from "yjs"

function open(baseUrl: string, liveMode: "sse" | "long-poll") {
  const doc = new Doc()
  const awareness = new Awareness(doc)
  const provider = new YjsProvider({
    doc,
    awareness,
    baseUrl,
    docId: "notes/one",
    liveMode,
    headers: { Authorization: "Bearer token" },
    connect: false,
  })
  const statuses: string[] = []
  provider.on("status", (status) => statuses.push(status))
  provider.on("error", (error) => statuses.push(`error: ${error.message}`))
  return { awareness, provider, statuses, text: doc.getText("text") }
}

type Editor = ReturnType<typeof open>

function holds({ text }: Editor, part: string): Promise<void> {
  return new Promise((resolve) => {
    const look = () => {
      if (!text.toString().includes(part)) return
      text.unobserve(look)
      resolve()
    }
    text.observe(look)
    look()
  })
}

function sees({ awareness }: Editor, clientId: number, isThere: boolean): Promise<void> {
  return new Promise((resolve) => {
    const look = () => {
      if (awareness.getStates().has(clientId) !== isThere) return
      awareness.off("change", look)
      resolve()
    }
    awareness.on("change", look)
    look()
  })
}

/** Two editors of one document, one of which leaves for a while, and what a third one finds there. */
export async function run(serverUrl: string): Promise<unknown> {
  const server = new YjsServer({ dsServerUrl: serverUrl, compactionThreshold: 2000 })
  const baseUrl = `${await server.start()}/v1/yjs/test`
  const ann = open(baseUrl, "sse")
  const bob = open(baseUrl, "long-poll")
  await Promise.all([ann.provider.connect(), bob.provider.connect()])
  ann.text.insert(0, "from Ann; ")
  bob.text.insert(0, "from Bob; ")
  for (let i = 0; i < 100; i++) ann.text.insert(ann.text.length, `${i}.`)
  await Promise.all([holds(ann, "from Bob"), holds(bob, "from Ann"), holds(bob, "99.")])
  // What was said of Ann before Bob listened did not reach him.
  const saying = setInterval(() => {
    ann.awareness.setLocalStateField("saidAt", Date.now())
  }, 20)
  await sees(bob, ann.awareness.clientID, true)
  clearInterval(saying)

  // The Yjs server refuses the closure with which a provider that leaves ends its producer.
  await ann.provider.disconnect()
  const left = [...ann.statuses]
  await sees(bob, ann.awareness.clientID, false)
  bob.text.insert(0, "meanwhile; ")
  await bob.provider.flush()
  await ann.provider.connect()
  ann.text.insert(0, "back; ")
  await Promise.all([holds(ann, "meanwhile"), holds(bob, "back")])

  const eve = open(baseUrl, "sse")
  await eve.provider.connect()
  const report = {
    left,
    annAndBob: ann.text.toString() === bob.text.toString(),
    bobAndEve: bob.text.toString() === eve.text.toString(),
    // Each of them goes on until everybody has left.
    statuses: [ann, bob, eve].map(({ statuses }) => statuses),
  }
  for (const { provider, awareness } of [ann, bob, eve]) {
    await provider.disconnect()
    provider.destroy()
    awareness.destroy()
  }
  await server.stop()
  return report
}
