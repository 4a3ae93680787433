/** A clock that the model can wait on: virtual in a simulation, real beside the reference server. */
export interface ModelClock {
  now(): number
  /** Calls back after `delayMs`; the result takes it back. */
  after(delayMs: number, callback: () => void): () => void
}

/** A request as the model sees it: everything resolved, header names in lower case. */
export interface ModelRequest {
  method: string
  url: URL
  headers: ReadonlyMap<string, string>
  body: Uint8Array
}

/** Where a body that is still growing is written to. */
export interface BodySink {
  write(bytes: Uint8Array): void
  end(): void
}

/** What follows the headers: nothing, all of it at once, or events as they come (opened once; the result stops it). */
export type AnswerBody =
  | { kind: "none" }
  | { kind: "bytes"; bytes: Uint8Array }
  | { kind: "live"; open: (sink: BodySink) => () => void }

/** The model's answer, before a network had its way with it. Header names in lower case. */
export interface ModelAnswer {
  status: number
  headers: Record<string, string>
  body: AnswerBody
}

const encoder = new TextEncoder()

/** An answer with a text body, or none where `text` is left out. */
export function textAnswer(
  status: number,
  headers: Record<string, string>,
  text?: string,
): ModelAnswer {
  if (text === undefined) return { status, headers, body: { kind: "none" } }
  return { status, headers, body: { kind: "bytes", bytes: encoder.encode(text) } }
}

/** An error answer: a line of text, as servers give it; meaning is in the status and headers alone. */
export function errorAnswer(
  status: number,
  text: string,
  headers: Record<string, string> = {},
): ModelAnswer {
  return textAnswer(status, { "content-type": "text/plain", ...headers }, text)
}
