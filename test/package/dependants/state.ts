import { DurableStream } from "@durable-streams/client"
import { createStateSchema } from "@durable-streams/state"
import { createStreamDB } from "@durable-streams/state/db"

interface User {
  id: string
  name: string
}

const schema = createStateSchema({
  users: {
    schema: {
      "~standard": {
        version: 1,
        vendor: "test",
        validate: (value: unknown) => ({ value: value as User }),
      },
    },
    type: "user",
    primaryKey: "id",
  },
})

function open(url: string, live: "sse" | "long-poll" | false) {
  const events: string[] = []
  const db = createStreamDB({
    streamOptions: { url, contentType: "application/json" },
    live,
    state: schema,
    onEvent: ({ key }) => events.push(key),
    actions: ({ db, stream }) => ({
      add: {
        onMutate: (user: User) => {
          db.collections.users.insert(user)
        },
        mutationFn: async (user: User) => {
          const txid = crypto.randomUUID()
          const event = schema.users.insert({ value: user, headers: { txid } })
          await stream.append(JSON.stringify(event))
          await db.utils.awaitTxId(txid)
        },
      },
    }),
  })
  return { db, events }
}

/** Two databases on one stream, and what a third one finds there. */
export async function run(serverUrl: string): Promise<unknown> {
  const url = `${serverUrl}/state`
  const missing = open(url, "sse")
  const refused = await missing.db.preload().catch((error: { status?: number }) => error.status)
  missing.db.close()

  const writer = await DurableStream.create({ url, contentType: "application/json" })
  await writer.append(JSON.stringify(schema.users.insert({ value: { id: "1", name: "Ann" } })))
  const ours = open(url, "sse")
  const theirs = open(url, "long-poll")
  await Promise.all([ours.db.preload(), theirs.db.preload()])
  await ours.db.actions.add({ id: "2", name: "Bob" }).isPersisted.promise
  await theirs.db.actions.add({ id: "3", name: "Eve" }).isPersisted.promise
  const txid = "last"
  const seen = [ours, theirs].map(({ db }) => db.utils.awaitTxId(txid))
  await writer.append(JSON.stringify(schema.users.delete({ key: "1", headers: { txid } })))
  await Promise.all(seen)
  const pending = ours.db.utils.awaitTxId("never").catch((error: Error) => error.message)
  ours.db.close()
  theirs.db.close()

  const late = open(url, false)
  await late.db.preload()
  const report = {
    refused,
    events: [ours.events, theirs.events],
    users: [ours, theirs, late].map(({ db }) => [...db.collections.users.keys()].sort()),
    isSameOffset: new Set([ours, theirs, late].map(({ db }) => db.offset)).size === 1,
    pending: await pending,
  }
  late.db.close()
  return report
}
