import { offsetOf } from "./offsets.ts"
import type { ModelConfig } from "./subscription-config.ts"

/** A stream of a subscription. */
export interface Link {
  linkType: "glob" | "explicit"
  acked: number
  /** A stream that appears later is read from its start, which is `-1` until something is acknowledged. */
  isAtStart: boolean
}

/** What the holder of a claim has. */
export interface Lease {
  worker: string
  token: string
  expiresMs: number
  /** The tails when it was granted: what a webhook that responds with `done` has handled. */
  tails: ReadonlyMap<string, number>
  cancelTimer: () => void
}

/** One subscription of the model. */
export class ModelSubscription {
  readonly id: string
  readonly config: ModelConfig
  /** The origin at which it was created. */
  readonly origin: string
  readonly createdAt: string
  readonly links = new Map<string, Link>()
  generation = 0
  /** The generations that ended by done or release. */
  readonly ended = new Set<number>()
  /** An event was written and not claimed yet. */
  isWoken = false
  lease: Lease | undefined

  constructor(id: string, config: ModelConfig, origin: string, nowMs: number) {
    this.id = id
    this.config = config
    this.origin = origin
    this.createdAt = new Date(nowMs).toISOString()
  }

  get wakeId(): string {
    return `wake-${this.id}-${this.generation}`
  }
}

/** Where a stream is handled up to, as the server says it. */
export function ackedOffset({ acked, isAtStart }: Link): string {
  return isAtStart ? "-1" : offsetOf(acked)
}

/** Whether a pattern links a path: `*` is one segment, `**` any number. */
export function matches(pattern: string, path: string): boolean {
  return matchesAll(pattern.split("/"), path.split("/"))
}

function matchesAll([part, ...parts]: readonly string[], segments: readonly string[]): boolean {
  const [segment, ...others] = segments
  if (part === undefined) return segment === undefined
  if (part === "**" && segments.some((_, index) => matchesAll(parts, segments.slice(index + 1)))) {
    return true
  }
  if (segment === undefined) return false
  const [start = "", ...pieces] = part.split("*")
  const end = pieces.pop()
  if (end === undefined) return segment === start && matchesAll(parts, others)
  // Each piece at its first place leaves the most room for what follows.
  let from = segment.startsWith(start) ? start.length : Infinity
  for (const piece of pieces) {
    const at = segment.indexOf(piece, from)
    from = at < 0 ? Infinity : at + piece.length
  }
  const fits = from + end.length <= segment.length && segment.endsWith(end)
  return fits && matchesAll(parts, others)
}
