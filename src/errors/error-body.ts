import { byteView } from "../protocol/byte-view.ts"

/** An error body longer than this is cut: a page of HTML must not fill the memory. */
const MAX_ERROR_BODY_BYTES = 64 * 1024

/** A body that trickles for longer than this is read no further; the error must not wait for it. */
const MAX_ERROR_BODY_MS = 5_000

/** What could be read of an error's body. */
export interface ErrorBody {
  readonly text?: string
  /** The parsed body, where it says that it is JSON and is. */
  readonly json?: object
}

/**
 * Reads the body of an answer that is no success: once, bounded in size and time, never failing. What is left of
 * the body is released.
 *
 * @param response - the answer
 * @param signal - ends the reading; what was read until then is the result
 */
export async function readErrorBody(response: Response, signal?: AbortSignal): Promise<ErrorBody> {
  if (response.bodyUsed) return {}
  const text = await readText(response, signal)
  if (text === "") return {}
  if (!(response.headers.get("content-type") ?? "").toLowerCase().includes("json")) return { text }
  try {
    const json: unknown = JSON.parse(text)
    return typeof json === "object" && json !== null ? { json } : { text }
  } catch {
    return { text }
  }
}

async function readText(response: Response, signal: AbortSignal | undefined): Promise<string> {
  const { body } = response
  if (body === null) return ""
  // React Native's answers have no stream, and their bodies are in memory already; node-fetch's have one of Node's.
  const isStream = typeof (body as Partial<typeof body> | undefined)?.getReader === "function"
  if (isStream) return readBounded(body, signal)
  try {
    return (await response.text()).slice(0, MAX_ERROR_BODY_BYTES)
  } catch {
    // It broke off, or the answer is a mock's that has no body.
    return ""
  }
}

async function readBounded(
  body: ReadableStream<Uint8Array>,
  signal: AbortSignal | undefined,
): Promise<string> {
  if (body.locked) return ""
  const reader = body.getReader()
  const release = () => {
    // The answer is thrown away: that its connection could not be told matters to nobody.
    reader.cancel().catch(() => undefined)
  }
  const timer = setTimeout(release, MAX_ERROR_BODY_MS)
  signal?.addEventListener("abort", release)
  if (signal?.aborted === true) release()
  const decoder = new TextDecoder()
  let text = ""
  let size = 0
  try {
    for (;;) {
      const { done, value } = await reader.read()
      const bytes = byteView(value)
      if (done || bytes === undefined) break
      const room = MAX_ERROR_BODY_BYTES - size
      size += bytes.byteLength
      text += decoder.decode(bytes.subarray(0, room), { stream: true })
      if (size >= MAX_ERROR_BODY_BYTES) break
    }
  } catch {
    // A body that breaks off says as much as it said.
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener("abort", release)
    release()
  }
  return text
}
