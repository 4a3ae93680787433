import { joinBytes } from "../protocol/join-bytes.ts"

/** The next part of a payload. Failures of the network are values here: they are part of the day's work. */
export type PayloadRead =
  { readonly kind: "chunk"; readonly bytes: Uint8Array } | { readonly kind: "end" } | BrokenPayload

/** A payload that ended before it was whole, or that is not what it should be. */
export interface BrokenPayload {
  readonly kind: "broken"
  /** `cut`: try again after a while; `stale`: try again at once; `malformed`: try again a few times. */
  readonly damage: "cut" | "stale" | "malformed"
  readonly error: Error
}

/** The content of a page, taken once: part by part, or whole by the functions below. */
export interface Payload {
  /** The content as text, in order, where it came as text (SSE). Then there is no need to take bytes. */
  readonly texts?: readonly string[]
  /** There was no body at all, as with a 204: its emptiness is no accident. */
  readonly bodiless?: true
  /** Whether nothing of it is still on its way: it was read to its end, or was never anywhere but in memory. */
  readonly isHere: boolean
  /** The next bytes. One call at a time. */
  read(): Promise<PayloadRead>
  /** Lets go of what was not read. */
  release(): void
}

/** A payload that is in memory already. */
export function bufferedPayload(bytes: Uint8Array): Payload {
  let rest: Uint8Array | undefined = bytes.byteLength === 0 ? undefined : bytes
  return {
    isHere: true,
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

/** A payload that came as text. */
export function textPayload(texts: readonly string[]): Payload {
  let bytes: Payload | undefined
  return {
    texts,
    isHere: true,
    read() {
      bytes ??= bufferedPayload(new TextEncoder().encode(texts.join("")))
      return bytes.read()
    },
    release() {
      bytes?.release()
    },
  }
}

/** A payload that gives nothing before it has come whole. */
export function unbrokenPayload(payload: Payload): Payload {
  let whole: Payload | undefined
  return {
    ...(payload.texts !== undefined && { texts: payload.texts }),
    get isHere() {
      return payload.isHere
    },
    async read() {
      if (whole === undefined) {
        const read = await readWhole(payload)
        if (read.kind === "broken") return read
        whole = bufferedPayload(read.bytes)
      }
      return whole.read()
    },
    release() {
      payload.release()
    },
  }
}

/** All the bytes of a payload, in the parts in which they came. None is empty. */
export async function readParts(
  payload: Payload,
): Promise<{ readonly kind: "whole"; readonly parts: readonly Uint8Array[] } | BrokenPayload> {
  const parts: Uint8Array[] = []
  for (;;) {
    const part = await payload.read()
    if (part.kind === "broken") return part
    if (part.kind === "end") return { kind: "whole", parts }
    if (part.bytes.byteLength > 0) parts.push(part.bytes)
  }
}

/** All the bytes of a payload. */
export async function readWhole(
  payload: Payload,
): Promise<{ readonly kind: "whole"; readonly bytes: Uint8Array } | BrokenPayload> {
  const read = await readParts(payload)
  return read.kind === "broken" ? read : { kind: "whole", bytes: joinBytes(read.parts) }
}
