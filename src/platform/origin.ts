import { encodeUtf8 } from "./text.ts"
import { onPageLifecycle, type PageLifecycleEvent } from "./page-lifecycle.ts"

/** The part of Web Locks that is used. */
export type OriginLocks = Pick<LockManager, "request" | "query">

/** The part of a BroadcastChannel that is used. */
export type OriginChannel = Pick<BroadcastChannel, "postMessage" | "close" | "onmessage">

/** What the tabs, frames and workers of one origin share, as one of them sees it. */
export interface Origin {
  readonly locks: OriginLocks
  openChannel(name: string): OriginChannel
  /** A hash that cannot be reversed, in hexadecimal. */
  digest(text: string): Promise<string>
  onPageLifecycle(notify: (event: PageLifecycleEvent) => void): () => void
}

/** The origin that the program runs in; or what the platform lacks for sharing. */
export function currentOrigin(): Origin | "no-locks" | "no-channel" | "no-crypto" {
  // Only browsers, and Node from 24 on, have locks; only secure contexts have them and the digest.
  const locks = typeof navigator === "undefined" ? undefined : navigator.locks
  if (typeof locks?.request !== "function") return "no-locks"
  if (!hasChannels()) return "no-channel"
  const subtle = globalThis.crypto?.subtle
  if (subtle === undefined) return "no-crypto"
  return {
    locks,
    openChannel: (name) => new BroadcastChannel(name),
    async digest(text) {
      // A copy, whose type says that its memory is not shared.
      const hash = await subtle.digest("SHA-256", new Uint8Array(encodeUtf8(text)))
      return Array.from(new Uint8Array(hash), (it) => it.toString(16).padStart(2, "0")).join("")
    },
    onPageLifecycle,
  }
}

/** A browser that blocks storage has channels, and throws when one is opened. */
function hasChannels(): boolean {
  try {
    new BroadcastChannel("durable-streams").close()
    return true
  } catch {
    return false
  }
}
