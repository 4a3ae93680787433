import { mayReplace, type StreamPersistence } from "./stream-persistence.ts"

/**
 * Stores a view in `localStorage`. It is synchronous, so that a view is saved even while its page goes away; an origin has
 * about 5 MB of it. Another tab that writes at the same instant can win with an older record; the next save replaces that.
 *
 * @param key - must contain the user: the next one who signs in with this browser would see the view otherwise
 */
export function localStoragePersistence(key: string): StreamPersistence {
  const load = () => parse(localStorage.getItem(key))
  return {
    id: `localStorage:${key}`,
    load,
    save(record) {
      if (mayReplace(load(), record)) localStorage.setItem(key, JSON.stringify(record))
    },
    clear() {
      localStorage.removeItem(key)
    },
  }
}

/** What is stored may not be JSON: then it is no record. */
function parse(text: string | null): unknown {
  try {
    return JSON.parse(text ?? "null")
  } catch {
    return undefined
  }
}
