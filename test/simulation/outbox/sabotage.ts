import type { StoreOperation } from "../../../src/outbox/index.ts"
import type { StoreFaults } from "./disk.ts"
import type { Sabotage } from "./scenario.ts"

/** A store that breaks a rule of the outbox. The others are broken by the options, or by the disk. */
export function faultsOf(sabotage: Sabotage | undefined): StoreFaults {
  switch (sabotage) {
    case "reuses-epoch":
      return { edit: reuseEpoch }
    case "records-no-attempts":
      return { edit: () => forgetAttempts }
    case "commits-joined-messages":
      return { commitsJoined: true }
    case "takes-no-locks":
      return { edit: () => (it) => (it.kind === "get" ? { kind: "get", key: it.key } : it) }
    case "commits-unsynced":
    case "resends-forgotten":
    case undefined:
      return {}
  }
}

/** Opening leaves the numbers as they are. */
function reuseEpoch(): (operation: StoreOperation, previous: unknown) => StoreOperation {
  let stored: { epoch: number; nextSeq: number } | undefined
  let isOpening = false
  return (operation, previous) => {
    const { json } = (previous ?? {}) as { json?: string }
    if (stored === undefined && json?.includes("producerId")) stored = JSON.parse(json)
    // Only an opening asks for the time before it writes the outbox, and has read the batch.
    if (operation.kind === "now") isOpening = true
    if (operation.kind !== "put" || operation.key !== "outbox" || !isOpening) return operation
    const written = JSON.parse(operation.record.json)
    if (stored === undefined || written.nextSeq !== 0 || written.failure) return operation
    const { epoch, nextSeq } = stored
    return { ...operation, record: { json: JSON.stringify({ ...written, epoch, nextSeq }) } }
  }
}

function forgetAttempts(operation: StoreOperation): StoreOperation {
  if (operation.kind !== "put" || operation.key !== "batch") return operation
  const batch = JSON.parse(operation.record.json)
  const json = JSON.stringify({ ...batch, openAttempts: [], unknown: undefined })
  return { ...operation, record: { ...operation.record, json } }
}
