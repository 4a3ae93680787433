import type { FaultName, FaultPlan } from "./faults.ts"
import type { ResponseBody, ModelClock } from "../../../src/testing/messages.ts"
import type { TrackedBody } from "../tracked-body.ts"

const MAX_PIECES = 5
const TRICKLE_GAP_MS = 900

const CUTS: ReadonlySet<FaultName> = new Set([
  "cut-error",
  "cut-clean",
  "short-length",
  "hang-in-body",
])

/** Somewhere in the first events of a live body. */
const LIVE_CUT_BYTES = 700

/**
 * Carries a response's body to the client, with the plan's fault: whole or in pieces, cut, short, hanging, or held back. The
 * result stops it.
 */
export function pumpBody(
  body: ResponseBody,
  target: TrackedBody,
  plan: FaultPlan,
  clock: ModelClock,
): () => void {
  if (body.kind === "live") return pumpLive(body.open, target, plan, clock)
  let bytes = body.kind === "bytes" ? body.bytes : new Uint8Array()
  if (plan.fault === "joined-body") {
    const broken = bytes.subarray(0, Math.floor(plan.dice() * bytes.length))
    bytes = joinBytes(broken, bytes)
  }
  const cutAt = isCut(plan) ? Math.floor(plan.dice() * (bytes.length + 1)) : bytes.length
  return sendPieces(splitBytes(bytes.subarray(0, cutAt), plan), target, plan, clock)
}

function isCut(plan: FaultPlan): boolean {
  return plan.fault !== undefined && CUTS.has(plan.fault)
}

function finish(target: TrackedBody, plan: FaultPlan): void {
  if (plan.fault === "hang-in-body") return
  if (plan.fault === "cut-error") target.fail(new TypeError("terminated"))
  else if (plan.fault === "unreadable-body") target.fail(new RangeError("Invalid string length"))
  else target.end()
}

function sendPieces(
  pieces: readonly Uint8Array[],
  target: TrackedBody,
  plan: FaultPlan,
  clock: ModelClock,
): () => void {
  let stopTimer = (): void => undefined
  const send = (index: number): void => {
    const piece = pieces[index]
    if (piece === undefined) return finish(target, plan)
    target.write(piece)
    if (plan.pace !== "trickle") return send(index + 1)
    stopTimer = clock.after(Math.floor(plan.dice() * TRICKLE_GAP_MS), () => send(index + 1))
  }
  send(0)
  return () => stopTimer()
}

function splitBytes(bytes: Uint8Array, plan: FaultPlan): Uint8Array[] {
  if (plan.pace === "whole" || bytes.length < 2) return [bytes]
  const cuts = Array.from({ length: MAX_PIECES - 1 }, () => Math.floor(plan.dice() * bytes.length))
  const edges = [0, ...cuts.sort((a, b) => a - b), bytes.length]
  return edges.slice(1).map((end, index) => bytes.subarray(edges[index], end))
}

function joinBytes(one: Uint8Array, other: Uint8Array): Uint8Array {
  const joined = new Uint8Array(one.length + other.length)
  joined.set(one)
  joined.set(other, one.length)
  return joined
}

/** Many times what a client with a limit reads. */
const ENDLESS_PIECES = 100
/** How much of an endless line or of endless events comes at once. */
export const ENDLESS_PIECE_BYTES = 2000

function pumpEndless(target: TrackedBody, plan: FaultPlan, clock: ModelClock): () => void {
  const text = "x".repeat(ENDLESS_PIECE_BYTES)
  const isLine = plan.fault === "sse-endless-line"
  const piece = new TextEncoder().encode(isLine ? text : `event: data\ndata: ["${text}"]\n\n`)
  let stopTimer = (): void => undefined
  const send = (index: number): void => {
    if (index === ENDLESS_PIECES) return target.end()
    target.write(piece)
    stopTimer = clock.after(10, () => send(index + 1))
  }
  if (isLine) target.write(new TextEncoder().encode("event: data\ndata: "))
  send(0)
  return () => stopTimer()
}

function pumpLive(
  open: Extract<ResponseBody, { kind: "live" }>["open"],
  target: TrackedBody,
  plan: FaultPlan,
  clock: ModelClock,
): () => void {
  if (plan.fault === "sse-endless-line" || plan.fault === "sse-endless-data") {
    return pumpEndless(target, plan, clock)
  }
  if (plan.fault === "sse-cut") {
    if (plan.dice() < 0.5) target.end()
    else target.fail(new TypeError("terminated"))
    return () => undefined
  }
  // Not even the end of the connection comes through.
  if (plan.fault === "sse-silent") return () => undefined
  let left = isCut(plan) ? Math.floor(plan.dice() * LIVE_CUT_BYTES) : Number.POSITIVE_INFINITY
  let stopped = false
  const held: Uint8Array[] = []
  const write = (bytes: Uint8Array): void => {
    if (stopped) return
    if (plan.fault === "sse-buffered") return void held.push(bytes)
    const piece = bytes.subarray(0, Math.min(bytes.length, left))
    for (const part of splitBytes(piece, plan)) target.write(part)
    left -= piece.length
    if (left > 0) return
    stop()
    finish(target, plan)
  }
  const end = (): void => {
    if (stopped) return
    stopped = true
    for (const bytes of held) target.write(bytes)
    target.end()
  }
  let close = (): void => undefined
  const stop = (): void => {
    stopped = true
    close()
  }
  close = open({ write, end })
  // The body may be over before `open` has returned.
  if (stopped) close()
  return stop
}
