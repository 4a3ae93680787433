import { setTimeout as sleep } from "node:timers/promises"

/** Waits until so many live reads wait at the server. */
export async function untilWaiting(serverUrl: string, count: number): Promise<void> {
  for (;;) {
    const waiting = Number(await (await fetch(`${serverUrl}/waiting`)).text())
    if (waiting >= count) return
    await sleep(5)
  }
}

/** Reads an SSE answer with bare fetch, giving the data of each event. */
export async function readEvents(url: string, onData: (data: string) => void): Promise<void> {
  const response = await fetch(`${url}?live=sse&offset=0`)
  const decoder = new TextDecoder()
  let rest = ""
  // Node's body iterates; the library's type does not know it.
  for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
    const blocks = (rest + decoder.decode(chunk, { stream: true })).split("\n\n")
    rest = blocks.pop() ?? ""
    for (const block of blocks) {
      if (block.startsWith("event: data")) onData(block.slice(block.indexOf("data: ") + 6))
    }
  }
}
