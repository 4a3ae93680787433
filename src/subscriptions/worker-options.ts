import {
  badOption,
  checkCount,
  checkDuration,
  checkFunction,
  checkNumber,
  checkObject,
} from "../http/option-checks.ts"
import { resolveBackoff, type Backoff, type BackoffOverrides } from "../http/backoff.ts"
import type { MaybePromise } from "../http/request-inputs.ts"
import type { Offset } from "../protocol/offset.ts"
import { isSchema, type StandardSchemaV1 } from "../protocol/standard-schema.ts"
import type { ByteChunk, JsonBatch, TextChunk } from "../read/stream-response.ts"

/** What a handler gets of a stream: messages, text or bytes. */
export interface BatchTypes<T> {
  json: JsonBatch<T>
  text: TextChunk
  bytes: ByteChunk
}

/** What a handler knows about a batch beside its content. */
export interface BatchContext {
  /** The stream's path, relative to the root. */
  path: string
  /** Where the batch starts. Compare it with the offset that your own transaction stored: see the guide. */
  startOffset: Offset
  /** Aborted once the claim is lost, or `stop()` has waited for long enough: stop working. */
  signal: AbortSignal
  /** From 1; above it the handler threw for this batch before. */
  attempt: number
}

/** How {@link runWorker} reads the streams that it claims, and what it does with their batches. */
export interface HandlerOptions<T, As extends keyof BatchTypes<T>> {
  /**
   * What a batch holds.
   *
   * @default "json"
   */
  as?: As | undefined
  /**
   * Handles one batch. Once it has settled, the batch is acknowledged; if it throws, the batch comes again after a back-off,
   * while the other streams go on. A batch can come twice: see `startOffset`.
   */
  onBatch: (batch: BatchTypes<T>[As], context: BatchContext) => unknown
  /**
   * Validates and types each message of a JSON batch. A message that does not match is a failure of its batch, with the code
   * `SCHEMA`: `onPoison` gets the batch as it is stored.
   */
  schema?: StandardSchemaV1<unknown, T> | undefined
  /**
   * Where your own store says that a stream was handled up to. Reading starts at the later of this and the acknowledged offset.
   */
  startOffset?: ((path: string) => MaybePromise<Offset | undefined>) | undefined
  /**
   * How many streams are handled at the same time.
   *
   * @default 1
   */
  concurrency?: number | undefined
  /**
   * After so many attempts for one batch, `onPoison` decides.
   *
   * @default 10
   */
  maxAttempts?: number | undefined
  /**
   * Decides about a batch that keeps failing: `skip` acknowledges it, `stop` ends the worker with the handler's error. Without
   * it the batch is tried indefinitely.
   */
  onPoison?:
    | ((
        batch: BatchTypes<T>[As],
        context: BatchContext & { error: unknown },
      ) => MaybePromise<"skip" | "stop">)
    | undefined
  /** The delays between attempts. */
  backoffOptions?: BackoffOverrides | undefined
}

/** The options of {@link runWorker}. */
export interface WorkerOptions<T, As extends keyof BatchTypes<T> = "json"> extends HandlerOptions<
  T,
  As
> {
  /** The worker's name, for people. Each process adds a random suffix of its own. */
  worker: string
  /** Called with each failure that the worker goes on after: of a claim, a heartbeat, a handler. */
  onError?: ((error: unknown) => void) | undefined
  /** Called with what the worker does. */
  observe?: ((event: WorkerEvent) => void) | undefined
  /** Stops the worker, as `stop()` does. */
  signal?: AbortSignal | undefined
  /**
   * How long `stop()` waits for the batch that is being handled, in milliseconds.
   *
   * @default 30_000
   */
  stopTimeoutMs?: number | undefined
}

/** What a worker does, as `observe` reports it. */
export type WorkerEvent =
  | { readonly kind: "claimed"; readonly generation: number; readonly paths: readonly string[] }
  | { readonly kind: "no-work" }
  | { readonly kind: "held"; readonly currentHolder: string }
  | { readonly kind: "handled"; readonly path: string; readonly offset: Offset }
  | {
      readonly kind: "retry"
      readonly path: string
      readonly startOffset: Offset
      readonly attempt: number
      readonly delayMs: number
      readonly error: unknown
    }
  | {
      readonly kind: "skipped"
      readonly path: string
      readonly offset: Offset
      readonly error: unknown
    }
  | {
      readonly kind: "rejected-ack"
      readonly path: string
      readonly offset: Offset
      readonly reason: string
    }
  | { readonly kind: "gone"; readonly path: string }
  | { readonly kind: "lost"; readonly error: unknown }
  | { readonly kind: "released"; readonly nextWake: boolean }
  | { readonly kind: "stopped" }

/** Checked options of a handler. */
export interface Handler<T, As extends keyof BatchTypes<T>> extends HandlerOptions<T, As> {
  readonly as: As
  readonly concurrency: number
  readonly maxAttempts: number
  readonly backoff: Backoff
}

/** A batch of any stream that a handler can be given. */
export type AnyHandler = Handler<unknown, keyof BatchTypes<unknown>>

/**
 * Checks the options of a handler.
 *
 * @throws DurableStreamError `BAD_REQUEST` that names the option
 */
export function checkHandler<T, As extends keyof BatchTypes<T>>(
  options: HandlerOptions<T, As>,
): AnyHandler {
  checkObject("options", options)
  const { as = "json", concurrency = 1, maxAttempts = 10, onBatch, onPoison, startOffset } = options
  if (!["json", "text", "bytes"].includes(as))
    throw badOption("as", '"json", "text" or "bytes"', as)
  // JavaScript callers can leave it out.
  if (typeof (onBatch as unknown) !== "function") throw badOption("onBatch", "a function", onBatch)
  const { schema } = options
  if (schema !== undefined && (as !== "json" || !isSchema(schema))) {
    const rule =
      as === "json" ? "a Standard Schema (zod, valibot, arktype)" : 'omitted unless as is "json"'
    throw badOption("schema", rule, schema)
  }
  checkFunction("onPoison", onPoison)
  checkFunction("startOffset", startOffset)
  checkNumber(
    "concurrency",
    concurrency,
    (n) => Number.isInteger(n) && n > 0,
    "a whole number above 0",
  )
  if (checkCount("maxAttempts", maxAttempts) === 0) throw badOption("maxAttempts", "above 0", 0)
  const backoff = resolveBackoff(options.backoffOptions)
  const handler = { ...options, as, concurrency, maxAttempts, backoff }
  // What the handler takes is what `as` says; the reading side gives it that.
  return handler as AnyHandler
}

/** How long {@link WorkerOptions.stopTimeoutMs} is. */
export function stopTimeoutOf({
  stopTimeoutMs = 30_000,
}: {
  readonly stopTimeoutMs?: number | undefined
}): number {
  return checkDuration("stopTimeoutMs", stopTimeoutMs)
}
