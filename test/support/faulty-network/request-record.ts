import type { FaultName } from "./faults.ts"
import type { BodyState } from "../tracked-body.ts"

/** One request as the network saw it. */
export interface RequestRecord {
  id: number
  atMs: number
  method: string
  url: string
  /** The query parameters that matter to reads. */
  offset: string | undefined
  live: string | undefined
  fault: FaultName | undefined
  /** Pending until the client has headers or an error. */
  outcome: "pending" | "responded" | "failed" | "aborted"
  status: number | undefined
  body: BodyState | "none"
  /** The request was aborted before its body had ended. */
  aborted: boolean
  /** How much of the body was read. */
  readBytes: number
  /** The offset that the response named as the next one, if the client could see it. */
  nextOffset: string | undefined
  /** The response named another offset than the one asked for, or stored something. */
  moved: boolean
}

/** What a request left behind, or undefined: a body neither read nor cancelled, a request neither settled nor aborted. */
export function leakOf(record: RequestRecord): string | undefined {
  const name = `request ${record.id} (${record.method} ${record.url}, fault ${record.fault ?? "none"})`
  if (record.outcome === "pending" && !record.aborted) return `${name} is still pending`
  if (record.body === "open" && !record.aborted) {
    return `${name} has a body of status ${record.status} that was neither read nor cancelled`
  }
  return undefined
}

/** One line about a request, for reports. */
export function describeRecord(record: RequestRecord): string {
  const fault = record.fault === undefined ? "" : ` [${record.fault}]`
  const aborted = record.aborted ? " aborted" : ""
  return `${record.atMs} ms ${record.method} ${record.url}${fault} → ${record.outcome} ${record.status ?? ""} body ${record.body}${aborted}`
}
