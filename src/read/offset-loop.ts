import type { Offset } from "../protocol/offset.ts"

/**
 * What is remembered of the offsets that a session has been at. While it catches up: the newest of them, so that a server,
 * or a cache before it, that sends a reader in a circle is noticed as soon as the circle closes. At the tail, where a
 * session stays for most of its life, and in greater circles: the last one, and one that is further and further back. The
 * reader comes by that one sooner or later (Brent's way to find a cycle); in a circle of two at once.
 */
export interface OffsetTrack {
  readonly last: Offset
  readonly landmark: Offset
  /** Moves since the landmark, and after how many the next one is taken. */
  readonly moves: number
  readonly span: number
  /** The offsets passed since the session was up to date, the newest last. */
  readonly passed: readonly Offset[]
}

/** So many passed offsets are remembered. */
export const MAX_PASSED = 1_000

const none: readonly Offset[] = []

/** The track of a session that has not moved yet. */
export function untrodden(start: Offset): OffsetTrack {
  return { last: start, landmark: start, moves: 0, span: 1, passed: none }
}

/**
 * The track after a move, if it is one.
 *
 * @param upToDate - whether it led to the tail
 */
export function noteMove(
  track: OffsetTrack,
  from: Offset,
  to: Offset,
  upToDate: boolean,
): OffsetTrack {
  const { landmark, span } = track
  if (from === to) return upToDate ? { ...track, passed: none } : track
  const passed = upToDate ? none : [...track.passed.slice(1 - MAX_PASSED), from]
  const moves = track.moves + 1
  if (moves < span) return { last: from, landmark, moves, span, passed }
  return { last: from, landmark: to, moves: 0, span: 2 * span, passed }
}

/** Whether a move leads back to where the session was before. Offsets never come again: streams only grow. */
export function leadsBack(track: OffsetTrack, from: Offset, to: Offset): boolean {
  if (from === to) return false
  return to === track.last || to === track.landmark || track.passed.includes(to)
}
