import type { FaultPlan } from "./faults.ts"
import {
  errorResponse,
  textResponse,
  type ModelResponse,
  type ModelRequest,
} from "../../../src/testing/messages.ts"
import type { ModelStream } from "../../../src/testing/stream.ts"
import type { RequestHead } from "../../../src/testing/fetch-request.ts"
import { offsetOf } from "../../../src/testing/offsets.ts"

const HEADER_LOSSES: ReadonlyArray<readonly string[]> = [
  ["stream-next-offset"],
  ["stream-up-to-date"],
  ["stream-cursor"],
  ["stream-next-offset", "stream-up-to-date", "stream-cursor", "stream-closed"],
]

/** What layers between client and server respond with: none of it says that a message is stored. */
const FOREIGN_2XX: ReadonlyArray<readonly [status: number, contentType: string, text: string]> = [
  [200, "text/plain", "OK"],
  [200, "application/json", '{"error":"not signed in"}'],
  [200, "application/xml", "<ok/>"],
  [201, "text/html", "<html>Please log in</html>"],
  [202, "text/plain", ""],
  [202, "application/json", '{"queued":true}'],
  [205, "text/plain", ""],
  [206, "text/plain", "part"],
]

/** The response that the fault puts in the place of the server's, or undefined where the server is asked. */
export function responseInstead(
  plan: FaultPlan,
  request: ModelRequest,
  stream: ModelStream | undefined,
  nowMs: number,
): ModelResponse | undefined {
  switch (plan.fault) {
    case "status":
      return overloaded(plan, nowMs)
    case "forged-403":
      return errorResponse(403, "<html>Blocked by the firewall</html>")
    case "forged-409":
      return errorResponse(409, "Conflict")
    case "html":
      return textResponse(200, { "content-type": "text/html" }, "<html>Please log in</html>")
    case "foreign-2xx":
      return plan.dice() < 0.5 ? foreignResponse(plan) : undefined
    case "stale-page":
      return stream && standingPage(stream, request)
    case "empty-live":
      return textResponse(204, { ...standingStill(request), "stream-up-to-date": "true" })
    default:
      return undefined
  }
}

/** A response in the place of the server's, for a request that the server may have seen or not. */
export function foreignResponse(plan: FaultPlan): ModelResponse {
  const [status, contentType, text] = FOREIGN_2XX[Math.floor(plan.dice() * FOREIGN_2XX.length)] ?? [
    200,
    "text/plain",
    "OK",
  ]
  return textResponse(status, { "content-type": contentType }, text === "" ? undefined : text)
}

function standingPage(stream: ModelStream, request: ModelRequest): ModelResponse {
  const headers = { "content-type": stream.contentType, ...standingStill(request) }
  return textResponse(200, headers, stream.isJson ? "[]" : "")
}

function standingStill(request: ModelRequest): Record<string, string> {
  const asked = request.url.searchParams.get("offset") ?? "-1"
  return { "stream-next-offset": asked === "-1" ? offsetOf(0) : asked }
}

function overloaded(plan: FaultPlan, nowMs: number): ModelResponse {
  const status = [500, 503, 429][Math.floor(plan.dice() * 3)] ?? 500
  const kind = plan.dice()
  const seconds = Math.floor(plan.dice() * 4)
  const headers: Record<string, string> = {}
  if (status !== 500 && kind < 0.3) headers["retry-after"] = String(seconds)
  else if (status !== 500 && kind < 0.5) {
    headers["retry-after"] = new Date(nowMs + seconds * 1000).toUTCString()
    headers["date"] = new Date(nowMs).toUTCString()
  }
  return errorResponse(status, "overloaded", headers)
}

/** The server's response as the fault lets it through (headers only; the body has its own faults). */
export function distort(
  plan: FaultPlan,
  request: RequestHead,
  response: ModelResponse,
): ModelResponse {
  const headers = { ...response.headers }
  const length = response.body.kind === "bytes" ? response.body.bytes.length : 0
  const isJson = (headers["content-type"] ?? "").startsWith("application/json")
  // A body of no bytes is what some servers make of an empty stream: at its start, only a length tells it from a cut.
  const isFirst = ["-1", "now", null].includes(request.url.searchParams.get("offset"))
  const tellsItself = isJson && !isFirst
  const needsLength =
    plan.fault === "short-length" ||
    plan.fault === "joined-body" ||
    (plan.fault === "cut-clean" && !tellsItself)
  if (response.body.kind === "bytes" && (needsLength || plan.dice() < 0.5)) {
    headers["content-length"] = String(length)
  }
  if ((plan.fault === "wrong-length" || plan.fault === "rebuilt") && length > 0) {
    const off = 1 + Math.floor(plan.dice() * length)
    headers["content-length"] = String(plan.dice() < 0.5 ? length + off : length - off)
  }
  if (plan.fault === "double-headers") {
    for (const [name, value] of Object.entries(headers)) {
      if (name !== "content-length") headers[name] = `${value}, ${value}`
    }
  }
  if (plan.fault === "lost-body" && response.body.kind === "bytes") {
    headers["content-length"] = "0"
    return { ...response, headers, body: { kind: "bytes", bytes: new Uint8Array() } }
  }
  if (plan.fault === "cut-clean" && tellsItself) delete headers["content-length"]
  if (plan.fault === "missing-headers") {
    const lost = HEADER_LOSSES[Math.floor(plan.dice() * HEADER_LOSSES.length)] ?? []
    for (const name of lost) delete headers[name]
  }
  return { ...response, headers }
}
