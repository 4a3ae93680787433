import { FetchError } from "../errors/fetch-error.ts"
import { describeUrl } from "../protocol/request-url.ts"
import type { Silence } from "./idle-watch.ts"

/** A read that was given up because nothing came, or because the machine slept. */
export class SilentRead extends FetchError {
  override name = "FetchError"
  /** What it means for the transfer: tried again after a while, or at once. */
  readonly damage: "cut" | "stale"

  /**
   * @param url - the stream
   * @param silence - what was noticed
   * @param idleTimeoutMs - how long it was allowed to last
   */
  constructor(url: string, silence: Silence, idleTimeoutMs: number) {
    const stream = describeUrl(url)
    const why =
      silence === "idle"
        ? `stayed silent for ${idleTimeoutMs} ms`
        : "is from before this machine slept"
    super(0, undefined, undefined, {}, stream, `The answer from ${stream} ${why}`, {
      code: "TIMEOUT",
    })
    this.damage = silence === "idle" ? "cut" : "stale"
  }
}
