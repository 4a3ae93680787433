import { encodeUtf8 } from "../platform/text.ts"
import { joinBytes } from "../protocol/bytes.ts"
import type { ModelRequest } from "./messages.ts"

/** A request whose body has not been read yet. */
export type RequestHead = Omit<ModelRequest, "body">

/** Everything of a `fetch` call that is known before its body is read. */
export function readHead(
  input: string | URL | Request,
  init: RequestInit | undefined,
  base?: string,
): RequestHead {
  const request = isRequest(input) ? input : undefined
  const url = new URL(isRequest(input) ? input.url : input, base)
  const headers = new Map<string, string>()
  new Headers(init?.headers ?? request?.headers).forEach(
    // happy-dom keeps the case of names.
    (value, name) => void headers.set(name.toLowerCase(), value),
  )
  // What `fetch` adds for a text.
  if (typeof init?.body === "string" && !headers.has("content-type")) {
    headers.set("content-type", "text/plain;charset=UTF-8")
  }
  return { method: (init?.method ?? request?.method ?? "GET").toUpperCase(), url, headers }
}

/** The signal of a `fetch` call. */
export function signalOf(
  input: string | URL | Request,
  init: RequestInit | undefined,
): AbortSignal | undefined {
  return init?.signal ?? (isRequest(input) ? input.signal : undefined)
}

/** By shape: a test environment has a class of its own. */
function isRequest(input: string | URL | Request): input is Request {
  return typeof input === "object" && "url" in input
}

/** The body of a `fetch` call; a streamed one is cancelled when the request is aborted, and breaks as its source does. */
export async function readBody(
  input: string | URL | Request,
  init: RequestInit | undefined,
): Promise<Uint8Array> {
  const body = init?.body
  if (typeof body === "string") return encodeUtf8(body)
  // Copied: what the caller does with its buffer after the call must not change what was sent.
  if (body instanceof Uint8Array) return new Uint8Array(body)
  const source = body === undefined && isRequest(input) ? input : new Response(body)
  if (source.body === null) return new Uint8Array()
  return readStream(source.body.getReader(), signalOf(input, init))
}

async function readStream(
  reader: ReadableStreamDefaultReader<Uint8Array<ArrayBuffer>>,
  signal: AbortSignal | undefined,
): Promise<Uint8Array> {
  const onAbort = (): void => void reader.cancel(signal?.reason).catch(() => undefined)
  signal?.addEventListener("abort", onAbort)
  try {
    const chunks: Uint8Array[] = []
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return joinBytes(chunks)
      chunks.push(value)
    }
  } finally {
    signal?.removeEventListener("abort", onAbort)
  }
}
