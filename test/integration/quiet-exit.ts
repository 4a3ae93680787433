import { stream } from "../../src/index.ts"

/**
 * A program that reads a stream in many ways, ends each read, and then does nothing: it is to exit by itself.
 *
 * Arguments: the url of an open stream, and of a closed one.
 */
const [open = "", closed = ""] = process.argv.slice(2)

for (const live of [true, "long-poll", "sse"] as const) {
  const broken = await stream({ url: open, live })
  for await (const batch of broken.jsonBatches()) if (batch.upToDate) break

  const cancelled = await stream({ url: open, live })
  const first = new Promise<void>((resolve) => cancelled.subscribeJson(() => resolve()))
  await first
  cancelled.cancel()
  await cancelled.closed

  const controller = new AbortController()
  const aborted = await stream({ url: open, live, signal: controller.signal })
  const reader = aborted.bodyStream().getReader()
  await reader.read()
  const pending = reader.read()
  controller.abort()
  await pending.catch(() => undefined)

  const ended = await stream({ url: closed, live })
  for await (const item of ended.jsonStream()) if (item !== 1) throw new Error("not the content")

  const unread = await stream({ url: open, live })
  unread.cancel()
}
await (await stream({ url: open })).json()
await stream({ url: `${open}/missing` }).catch(() => undefined)

const timers = process.getActiveResourcesInfo().filter((resource) => resource === "Timeout")
console.log(`timers left: ${timers.length}`)
