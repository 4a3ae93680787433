import type { IncomingMessage, ServerResponse } from "node:http"

/** One request to the bench server; the first segment of its path chose the handler. */
export interface Call {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly segments: readonly string[]
  readonly query: URLSearchParams
}

/** Answers requests. */
export type Handler = (call: Call) => void
