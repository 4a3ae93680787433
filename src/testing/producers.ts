/** What the three producer headers say. */
export interface ProducerTuple {
  id: string
  epoch: number
  seq: number
}

interface ProducerState {
  epoch: number
  lastSeq: number
}

/** What the table of PROTOCOL.md says about one request. `commit` stores the new state once the append is sure. */
export type ProducerVerdict =
  | { kind: "accepted"; commit: () => void }
  | { kind: "duplicate"; epoch: number; lastSeq: number }
  | { kind: "stale"; currentEpoch: number }
  | { kind: "epoch-not-from-zero" }
  | { kind: "gap"; expected: number }

/** The producers of one stream, by id: epoch and last sequence number each. */
export class ModelProducers {
  readonly #states = new Map<string, ProducerState>()

  judge(tuple: ProducerTuple): ProducerVerdict {
    const state = this.#states.get(tuple.id)
    const commit = (): void =>
      void this.#states.set(tuple.id, { epoch: tuple.epoch, lastSeq: tuple.seq })
    if (state === undefined) {
      return tuple.seq === 0 ? { kind: "accepted", commit } : { kind: "gap", expected: 0 }
    }
    if (tuple.epoch < state.epoch) return { kind: "stale", currentEpoch: state.epoch }
    if (tuple.epoch > state.epoch) {
      return tuple.seq === 0 ? { kind: "accepted", commit } : { kind: "epoch-not-from-zero" }
    }
    if (tuple.seq <= state.lastSeq) {
      return { kind: "duplicate", epoch: state.epoch, lastSeq: state.lastSeq }
    }
    if (tuple.seq > state.lastSeq + 1) return { kind: "gap", expected: state.lastSeq + 1 }
    return { kind: "accepted", commit }
  }

  /** Forget everything, as a server may after a restart or a week. */
  forget(): void {
    this.#states.clear()
  }

  /** The epoch a producer is at, if the server remembers it. */
  epochOf(id: string): number | undefined {
    return this.#states.get(id)?.epoch
  }
}

/**
 * The tuple of the producer headers: undefined when there is none of them, "invalid" when they are incomplete or out of
 * range.
 */
export function readProducerHeaders(
  headers: ReadonlyMap<string, string>,
): ProducerTuple | "invalid" | undefined {
  const id = headers.get("producer-id")
  const epoch = headers.get("producer-epoch")
  const seq = headers.get("producer-seq")
  if (id === undefined && epoch === undefined && seq === undefined) return undefined
  if (!id || !isCount(epoch) || !isCount(seq)) return "invalid"
  return { id, epoch: Number(epoch), seq: Number(seq) }
}

function isCount(value: string | undefined): value is string {
  return value !== undefined && /^\d+$/.test(value) && Number.isSafeInteger(Number(value))
}
