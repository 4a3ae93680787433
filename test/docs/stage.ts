import { startBreakingProxy } from "../support/breaking-proxy.ts"
import { startReferenceServer } from "../support/reference-server.ts"

interface Prop {
  readonly contentType: string
  readonly body: string | Uint8Array<ArrayBuffer>
  /** What is appended once somebody reads live, with the closure. */
  readonly later: string | Uint8Array<ArrayBuffer>
}

/** The streams that the texts read without creating them. */
const PROPS: Readonly<Record<string, Prop>> = {
  "/v1/stream/chat": {
    contentType: "application/json",
    body: '[{"from":"ann","text":"hello"},{"from":"bob","text":"hi"},{"from":"ann","text":"how are you?"}]',
    later: '{"from":"bob","text":"fine"}',
  },
  "/v1/stream/log": { contentType: "application/json", body: "[]", later: "{}" },
  "/v1/stream/reply": {
    contentType: "text/plain; charset=utf-8",
    body: "Forty-",
    later: "two",
  },
  "/chat/42": {
    contentType: "application/json",
    body: '[{"from":"ann","text":"Is anybody there?"},{"from":"bob","text":"Since 3 a.m."}]',
    later: '{"from":"ann","text":"Bye."}',
  },
  "/orders": { contentType: "application/json", body: "[]", later: "{}" },
  "/build-log": { contentType: "text/plain", body: "compiling\n", later: "done\n" },
  "/v1/stream/recording": {
    contentType: "application/octet-stream",
    body: new Uint8Array([1, 2, 3, 4]),
    later: new Uint8Array([5, 6]),
  },
}

/** A server on which a block plays. */
export interface Stage {
  readonly origin: string
  stop(): Promise<void>
}

/**
 * Starts a server that has the streams which the texts read. A live reader of one of them gets one more
 * append and its end, so that a block which reads live comes to an end.
 */
export async function startStage(): Promise<Stage> {
  const { url, stop } = await startReferenceServer({ longPollTimeout: 2000 })
  for (const [path, { contentType, body }] of Object.entries(PROPS)) {
    await send(url + path, "PUT", { "content-type": contentType }, body)
  }
  const ended = new Set<string>()
  const endings: Promise<void>[] = []
  const proxy = await startBreakingProxy(url)
  proxy.decide = ({ path, query }) => {
    const stream = path.split("?")[0]!
    const prop = PROPS[stream]
    if (query.has("live") && prop !== undefined && !ended.has(stream)) {
      ended.add(stream)
      const headers = { "content-type": prop.contentType, "stream-closed": "true" }
      endings.push(send(url + stream, "POST", headers, prop.later))
    }
    return { kind: "pass" }
  }
  return {
    origin: proxy.url,
    async stop() {
      await Promise.all(endings)
      await proxy.stop()
      await stop()
    },
  }
}

async function send(
  url: string,
  method: string,
  headers: Record<string, string>,
  body: string | Uint8Array<ArrayBuffer>,
): Promise<void> {
  const response = await fetch(url, { method, headers, body })
  // The block may have closed or deleted the stream itself.
  if (!response.ok && response.status !== 409 && response.status !== 404) {
    throw new Error(`${method} ${url}: ${response.status}`)
  }
}
