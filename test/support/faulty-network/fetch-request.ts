import type { ModelRequest } from "../../../src/testing/messages.ts"

/** A request whose body has not been read yet. */
export type RequestHead = Omit<ModelRequest, "body">

/** Everything of a `fetch` call that is known before its body is read. */
export function readHead(
  input: string | URL | Request,
  init: RequestInit | undefined,
): RequestHead {
  const url = new URL(input instanceof Request ? input.url : input)
  const headers = new Map<string, string>()
  new Headers(init?.headers).forEach((value, name) => void headers.set(name, value))
  return { method: (init?.method ?? "GET").toUpperCase(), url, headers }
}

/** The body of a `fetch` call; a streamed one is cancelled when the request is aborted, and breaks as its source does. */
export async function readBody(init: RequestInit | undefined): Promise<Uint8Array> {
  const body = init?.body
  if (body === undefined || body === null) return new Uint8Array()
  if (typeof body === "string") return new TextEncoder().encode(body)
  // Copied: what the caller does with its buffer after the call must not change what was sent.
  if (body instanceof Uint8Array) return new Uint8Array(body)
  const stream = new Response(body).body
  if (stream === null) return new Uint8Array()
  return readStream(stream.getReader(), init?.signal ?? undefined)
}

async function readStream(
  reader: ReadableStreamDefaultReader<Uint8Array<ArrayBuffer>>,
  signal: AbortSignal | undefined,
): Promise<Uint8Array> {
  const onAbort = (): void => void reader.cancel(signal?.reason).catch(() => undefined)
  signal?.addEventListener("abort", onAbort)
  try {
    const chunks: Uint8Array<ArrayBuffer>[] = []
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return new Uint8Array(await new Blob(chunks).arrayBuffer())
      chunks.push(value)
    }
  } finally {
    signal?.removeEventListener("abort", onAbort)
  }
}
