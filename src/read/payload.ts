import { encodeUtf8 } from "../platform/text.ts"

/** Why a transfer brought no whole page: one union from the body to the state machine. */
export interface TransferFailure {
  /**
   * - `timeout`: nothing arrived for `idleTimeoutMs`
   * - `suspended`: the machine, or its page, slept; the connection is dead
   * - `network`: the connection broke
   * - `malformed`: the bytes are not what the protocol says
   */
  readonly kind: "timeout" | "suspended" | "network" | "malformed"
  readonly error: Error
  /** Equal for failures that occur in the same way. Missing if a network can fail like this for long. */
  readonly signature?: string
}

/** The next part of a payload. Failures of the network are values here: they are expected. */
export type PayloadRead =
  | { readonly kind: "chunk"; readonly bytes: Uint8Array }
  | { readonly kind: "end" }
  | { readonly kind: "failed"; readonly failure: TransferFailure }

/** The content of a page, taken once. */
export interface Payload {
  /** The content as text, in order, if it arrived as text (SSE). Then there is no need to read bytes. */
  readonly texts?: readonly string[]
  /** There was no body at all, as with a 204. */
  readonly bodiless?: true
  /** Whether all of it has arrived. */
  readonly isComplete: boolean
  /**
   * The next bytes. One call at a time.
   *
   * @throws what no transfer can fix: the body is not one, or was used by the caller's `fetch`
   */
  read(): Promise<PayloadRead>
  /** Releases what was not read. */
  release(): void
}

/** A payload that is in memory. */
export function bufferedPayload(bytes: Uint8Array): Payload {
  let rest: Uint8Array | undefined = bytes.byteLength === 0 ? undefined : bytes
  return {
    isComplete: true,
    read() {
      const chunk = rest
      rest = undefined
      return Promise.resolve(
        chunk === undefined ? { kind: "end" } : { kind: "chunk", bytes: chunk },
      )
    },
    release() {
      rest = undefined
    },
  }
}

/** The payload of a page without content. */
export function emptyPayload(): Payload {
  return { ...bufferedPayload(new Uint8Array()), bodiless: true }
}

/** A payload that arrived as text. */
export function textPayload(texts: readonly string[]): Payload {
  let bytes: Payload | undefined
  return {
    texts,
    isComplete: true,
    read() {
      bytes ??= bufferedPayload(encodeUtf8(texts.join("")))
      return bytes.read()
    },
    release() {
      bytes?.release()
    },
  }
}
