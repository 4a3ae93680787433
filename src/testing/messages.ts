/** A clock that the model can wait on: virtual in a simulation, real beside the reference server. */
export interface ModelClock {
  now(): number
  /** Calls back after `delayMs`; the result takes it back. */
  after(delayMs: number, callback: () => void): () => void
}

/** Where the model draws what it varies. */
export interface RandomSource {
  /** True with the given probability (0 … 1). */
  chance(probability: number): boolean
  /** A whole number from `min` to `max`, both included. */
  int(min: number, max: number): number
  pick<T>(items: readonly T[]): T
}

/** A request as the model sees it: everything resolved, header names in lower case. */
export interface ModelRequest {
  method: string
  url: URL
  headers: ReadonlyMap<string, string>
  body: Uint8Array
  /** Aborted once no one waits for the response any more. */
  gone?: AbortSignal
}

/** Where a body that is still growing is written to. */
export interface BodySink {
  write(bytes: Uint8Array): void
  end(): void
}

/** What follows the headers: nothing, all of it at once, or events as they come (opened once; the result stops it). */
export type ResponseBody =
  | { kind: "none" }
  | { kind: "bytes"; bytes: Uint8Array }
  | { kind: "live"; open: (sink: BodySink) => () => void }

/** The model's response, before a network changes it. Header names in lower case. */
export interface ModelResponse {
  status: number
  headers: Record<string, string>
  body: ResponseBody
}

const encoder = new TextEncoder()

/** A response with a text body, or none if `text` is undefined. */
export function textResponse(
  status: number,
  headers: Record<string, string>,
  text?: string,
): ModelResponse {
  if (text === undefined) return { status, headers, body: { kind: "none" } }
  return { status, headers, body: { kind: "bytes", bytes: encoder.encode(text) } }
}

/** An error response: a line of text, as servers give it; meaning is in the status and headers alone. */
export function errorResponse(
  status: number,
  text: string,
  headers: Record<string, string> = {},
): ModelResponse {
  return textResponse(status, { "content-type": "text/plain", ...headers }, text)
}
