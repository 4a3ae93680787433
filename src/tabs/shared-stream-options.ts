import type { StreamEvent, StreamOptions } from "../read/stream-options.ts"
import type { HolderReason } from "./wire.ts"

/** The options of `sharedStream()`: those of `stream()`, and who may share. */
export interface SharedStreamOptions extends Omit<StreamOptions, "observe"> {
  /**
   * Who reads: the id of the user or of the session. Only readers with the same key, URL, params, headers, `live`, `json`,
   * `maxPageBytes` and credentials share a connection. Required if the client cannot see who reads: with functions as headers or params, a `fetch`
   * of your own, or credentials other than `"omit"` (the default sends cookies to the page's own origin). Without it, this
   * reader then reads for itself. Only a hash of it leaves the tab.
   */
  shareKey?: string | undefined
  /** Called with what this reader does, and with who holds the connection. */
  observe?: ((event: SharedStreamEvent) => void) | undefined
}

/** Why a reader reads for itself. `unaligned`: it tries to follow again. */
export type AloneReason =
  | "not-live"
  | "no-share-key"
  | "no-locks"
  | "no-channel"
  | "no-crypto"
  | "locks-denied"
  | "unaligned"

/** What a shared reader does, as `observe` receives it. */
export type SharedStreamEvent =
  | StreamEvent
  /** A reader holds the connection, and `participant` is its random id. */
  | {
      readonly kind: "holder"
      readonly participant: string
      readonly isSelf: boolean
      readonly reason: HolderReason
    }
  | { readonly kind: "alone"; readonly reason: AloneReason }
  /** It follows again. */
  | { readonly kind: "shared" }
