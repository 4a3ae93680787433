export { sharedStream } from "./shared-stream.ts"
export type {
  AloneReason,
  SharedStreamEvent,
  SharedStreamOptions,
} from "./shared-stream-options.ts"
export type { HolderReason } from "./wire.ts"
