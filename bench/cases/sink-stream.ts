import { message } from "../server/content.ts"

/** Different messages that the producing cases append in turn, so that making them is not what is measured. */
export function messages(count: number, bytes: number): string[] {
  // By way of a buffer: a string that was put together from pieces would be joined by whoever reads it first.
  return Array.from({ length: count }, (_, index) => Buffer.from(message(index, bytes)).toString())
}

/** A stream that takes all and keeps nothing (server/sink.ts); a name of its own for each run. */
export function sinkUrl(
  serverUrl: string,
  type: "json" | "bytes",
  bytesPerSecond?: number,
): string {
  const url = `${serverUrl}/sink/${type}/${process.pid}`
  return bytesPerSecond === undefined ? url : `${url}/${bytesPerSecond}`
}

/**
 * Makes sure that a run sent what it was to send.
 *
 * @param payloadBytes - without framing
 */
export async function expectReceived(url: string, payloadBytes: number): Promise<void> {
  const received = Number(await (await fetch(url)).text())
  if (received < payloadBytes)
    throw new Error(`the server got ${received} bytes of ${payloadBytes}`)
}

/**
 * Posts bodies with bare fetch, a few at a time: the floor of every producer.
 *
 * @param producerId - default none, where the order of arrival must not matter
 */
export async function postAll(
  url: string,
  contentType: string,
  bodies: Iterable<string | Uint8Array<ArrayBuffer>>,
  producerId?: string,
): Promise<void> {
  const inFlight = new Set<Promise<void>>()
  let seq = 0
  for (const body of bodies) {
    const headers = { "content-type": contentType }
    const tuple =
      producerId === undefined
        ? {}
        : { "producer-id": producerId, "producer-epoch": "0", "producer-seq": String(seq++) }
    const init = { method: "POST", headers: { ...headers, ...tuple }, body }
    const posted: Promise<void> = fetch(url, init).then(async (response) => {
      await response.arrayBuffer()
      inFlight.delete(posted)
    })
    inFlight.add(posted)
    if (inFlight.size === 5) await Promise.race(inFlight)
  }
  await Promise.all(inFlight)
}
