import type { Offset } from "../protocol/offset.ts"

/** Where the session has been, in constant space: its previous offset and one further back (Brent's cycle detection). */
export interface Visited {
  readonly previous: Offset
  readonly landmark: Offset
  /** Moves since the landmark, and how many until the next one. */
  readonly moves: number
  readonly span: number
}

/** A session that has not moved yet. */
export function visitedFrom(start: Offset): Visited {
  return { previous: start, landmark: start, moves: 0, span: 1 }
}

/** What is remembered after a move. */
export function visit(visited: Visited, from: Offset, to: Offset): Visited {
  if (from === to) return visited
  const { landmark, span } = visited
  const moves = visited.moves + 1
  if (moves < span) return { previous: from, landmark, moves, span }
  return { previous: from, landmark: to, moves: 0, span: 2 * span }
}

/** Whether a move leads back to where the session was: offsets never come again, because streams only grow. */
export function leadsBack(visited: Visited, to: Offset): boolean {
  return to === visited.previous || to === visited.landmark
}
