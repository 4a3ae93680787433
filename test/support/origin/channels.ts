import type { OriginChannel } from "../../../src/platform/origin.ts"
import type { SeededRandom } from "../seeded-random.ts"
import type { VirtualClock } from "../virtual-clock.ts"

/** What becomes of the messages between tabs. */
export interface ChannelChoices {
  maxLatencyMs: number
  /** How likely a message is lost on its way to one of the others, and delivered twice to it. */
  loss: number
  duplication: number
}

interface Member {
  readonly name: string
  readonly deliver: (data: unknown) => void
}

/** The BroadcastChannels of one origin, in virtual time. */
export class SimulatedChannels {
  readonly choices: ChannelChoices
  readonly #clock: VirtualClock
  readonly #random: SeededRandom
  readonly #members = new Set<Member>()
  /** Every message that was posted. */
  readonly posted: { readonly atMs: number; readonly data: unknown }[] = []

  constructor(clock: VirtualClock, random: SeededRandom, choices: ChannelChoices) {
    this.#clock = clock
    this.#random = random
    this.choices = choices
  }

  /** @param run - runs a delivery as the tab that the channel is of */
  open(name: string, run: (deliver: () => void) => void): OriginChannel {
    let isOpen = true
    const channel: OriginChannel = {
      onmessage: null,
      postMessage: (data: unknown) => {
        if (!isOpen) throw new DOMException("The channel is closed.", "InvalidStateError")
        this.posted.push({ atMs: this.#clock.elapsedMs, data })
        for (const other of this.#members) {
          if (other !== member && other.name === name) this.#carry(other, structuredClone(data))
        }
      },
      close: () => {
        isOpen = false
        this.#members.delete(member)
      },
    }
    const member: Member = {
      name,
      deliver: (data) =>
        run(() => {
          // A listener reads the data of the event and nothing else.
          if (isOpen) channel.onmessage?.call(null as never, { data } as MessageEvent)
        }),
    }
    this.#members.add(member)
    return channel
  }

  #carry(to: Member, data: unknown): void {
    const { loss, duplication, maxLatencyMs } = this.choices
    const copies = this.#random.chance(loss) ? 0 : this.#random.chance(duplication) ? 2 : 1
    for (let copy = 0; copy < copies; copy++) {
      this.#clock.after(this.#random.int(0, maxLatencyMs), () => to.deliver(data))
    }
  }
}
