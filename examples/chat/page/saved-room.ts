import type { Entry } from "./chat-log.ts"

/** What a page needs to go on where it was: what it shows, and the offset behind it. Written together or not at all. */
export interface SavedRoom {
  readonly offset: string
  readonly entries: readonly Entry[]
}

/** What was saved for a room, by this tab or another one of this browser. */
export function loadRoom(url: string): SavedRoom {
  const saved = localStorage.getItem(url)
  // Written by saveRoom below.
  return saved === null ? { offset: "-1", entries: [] } : (JSON.parse(saved) as SavedRoom)
}

export function saveRoom(url: string, room: SavedRoom): void {
  localStorage.setItem(url, JSON.stringify(room))
}
