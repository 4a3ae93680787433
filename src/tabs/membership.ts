import { callObserver, warn } from "../platform/console.ts"
import type { Origin, OriginChannel } from "../platform/origin.ts"
import { randomId } from "../platform/random-id.ts"
import type { Offset } from "../protocol/offset.ts"
import type { PageSource } from "../read/page.ts"
import type { FollowerEffect, FollowerEvent } from "./follower-state.ts"
import { Holder } from "./holder.ts"
import { Seat } from "./seat.ts"
import type { SharedStreamEvent } from "./shared-stream-options.ts"
import { fromWire, toWire, type HolderReason, type Message } from "./wire.ts"

/** What a {@link Membership} needs of its participant. */
export interface MembershipSettings {
  readonly origin: Origin
  /** Of the lock and the channel. */
  readonly name: string
  readonly dispatch: (event: FollowerEvent) => void
  readonly observe: ((event: SharedStreamEvent) => void) | undefined
  readonly isHidden: () => boolean
  /** Whether pages are JSON documents. */
  readonly isJson: () => boolean
  /** A live session for all participants. */
  readonly openFeed: (offset: Offset) => PageSource
}

/** What one participant has in common with the others: the channel, the lock, and the connection while it holds it. */
export class Membership {
  readonly #id = randomId().slice(0, 8)
  readonly #settings: MembershipSettings
  readonly #seat: Seat
  #channel: OriginChannel | undefined
  #holder: Holder | undefined
  #isStolen = false
  /** The connection that was heard last. */
  #feed: string | undefined
  #hasWarned = false

  constructor(settings: MembershipSettings) {
    const { origin, name, dispatch } = settings
    this.#settings = settings
    this.#seat = new Seat(origin.locks, name, {
      onGranted: (isStolen) => {
        this.#isStolen = isStolen
        dispatch({ kind: "granted" })
      },
      onLost: () => {
        this.#holder?.stop()
        this.#holder = undefined
        dispatch({ kind: "lost" })
      },
      onDenied: () => {
        dispatch({ kind: "denied" })
        this.#observe({ kind: "alone", reason: "locks-denied" })
      },
    })
  }

  /** Executes what is about the others. */
  execute(effect: Exclude<FollowerEffect, { kind: "read" | "drop-read" | "deliver" }>): void {
    switch (effect.kind) {
      case "want":
        this.#send(effect)
        break
      case "join":
        this.#join()
        break
      case "leave":
        this.#leaveChannel()
        break
      case "queue":
        this.#seat.queue()
        break
      case "steal":
        this.#seat.steal()
        break
      case "stand-up":
        this.#standUp()
        break
      case "feed":
        this.#hold(effect.offset)
        break
      case "announce":
        this.#holder?.announce()
    }
  }

  /** Ends the membership. */
  end(): void {
    this.#standUp()
    this.#leaveChannel()
  }

  #standUp(): void {
    this.#holder?.leave()
    this.#holder = undefined
    this.#seat.standUp()
  }

  #join(): void {
    const { origin, name } = this.#settings
    const channel = origin.openChannel(name)
    this.#channel = channel
    channel.onmessage = ({ data }) => {
      const message = fromWire(data)
      if (message !== undefined) this.#hear(message, false)
      else if (!this.#hasWarned) {
        this.#hasWarned = true
        warn(
          "A script of this origin, perhaps another version of this package, sends pages that are ignored. Load one version.",
        )
      }
    }
  }

  #leaveChannel(): void {
    this.#channel?.close()
    this.#channel = undefined
  }

  #send(message: Message): void {
    this.#channel?.postMessage(toWire(message))
    // A channel does not bring back what was sent through it, and the holder is a follower too.
    this.#hear(message, true)
  }

  #hear(message: Message, isOwn: boolean): void {
    const { dispatch } = this.#settings
    if (message.kind === "want") {
      if (message.isVisible && !isOwn) dispatch({ kind: "requested" })
      this.#holder?.respond(message.from)
      return
    }
    const { holder, feed, reason } = message
    const name = { holder, feed, reason }
    // A message can be late, and its sender no longer the holder.
    const isLate = message.kind === "left" || (this.#holder !== undefined && !isOwn)
    if (this.#feed !== feed && !isLate) {
      this.#feed = feed
      this.#observe({ kind: "holder", participant: holder, isSelf: isOwn, reason })
    }
    switch (message.kind) {
      case "left":
        dispatch({ kind: "left", feed: name })
        break
      case "offset":
        dispatch({
          kind: "offset",
          feed: name,
          offset: message.offset,
          isHidden: message.isHidden,
        })
        break
      case "page": {
        const { start, end, content } = message
        dispatch({ kind: "page", feed: name, page: { start, end, content } })
      }
    }
  }

  #hold(offset: Offset): void {
    const { dispatch, isHidden, isJson, openFeed } = this.#settings
    this.#holder = new Holder({
      name: { holder: this.#id, feed: randomId(), reason: this.#reason },
      feed: openFeed(offset),
      offset,
      isJson: isJson(),
      isHidden,
      isHeld: () => this.#seat.isHeld(),
      send: (message) => {
        this.#send(message)
      },
      onEnd: () => {
        dispatch({ kind: "feed-failed" })
      },
    })
    this.#holder.announce()
  }

  get #reason(): HolderReason {
    if (this.#isStolen) return "silent-holder"
    return this.#feed === undefined ? "first" : "successor"
  }

  #observe(event: SharedStreamEvent): void {
    const { observe } = this.#settings
    if (observe !== undefined) callObserver("observe", () => observe(event))
  }
}
