import type { Offset } from "../protocol/offset.ts"

/**
 * What is remembered of the offsets that a session has been at: the last one, and one that is further and further back.
 * A server, or a cache before it, that sends a reader in a circle comes by it sooner or later (Brent's way to find a
 * cycle); in a circle of two at once.
 */
export interface OffsetTrack {
  readonly last: Offset
  readonly landmark: Offset
  /** Moves since the landmark, and after how many the next one is taken. */
  readonly moves: number
  readonly span: number
}

/** The track of a session that has not moved yet. */
export function untrodden(start: Offset): OffsetTrack {
  return { last: start, landmark: start, moves: 0, span: 1 }
}

/** The track after a move, if it is one. */
export function noteMove(track: OffsetTrack, from: Offset, to: Offset): OffsetTrack {
  if (from === to) return track
  const moves = track.moves + 1
  const { landmark, span } = track
  if (moves < span) return { last: from, landmark, moves, span }
  return { last: from, landmark: to, moves: 0, span: 2 * span }
}

/** Whether a move leads back to where the session was before. Offsets never come again: streams only grow. */
export function leadsBack(track: OffsetTrack, from: Offset, to: Offset): boolean {
  return from !== to && (to === track.last || to === track.landmark)
}
