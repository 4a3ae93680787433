import { failureOf } from "../http/failure.ts"
import { backoffDelayMs } from "../http/backoff.ts"
import { sleep } from "../http/sleep.ts"
import { LinkedAbortController } from "../http/abort.ts"
import { monotonicMs } from "../platform/clock.ts"
import { START_OFFSET, type Offset } from "../protocol/offset.ts"
import type { ByteChunk, JsonBatch, TextChunk } from "../read/batches.ts"
import { stream } from "../stream.ts"
import type { AckResult, Claim } from "./claim.ts"
import { OffsetMismatchError } from "./exactly-once.ts"
import type { StreamRoot } from "./subscriptions-request.ts"
import type { AnyHandler, WorkerEvent } from "./worker-options.ts"

type AnyBatch = JsonBatch<unknown> | TextChunk | ByteChunk

/** What is known of a batch that failed; it outlives the claim, so that another claim does not begin at attempt 1. */
interface FailedBatch {
  readonly startOffset: Offset
  readonly attempts: number
  /** On the monotonic clock. */
  readonly retryAtMs: number
}

/** The failed batches of a worker by their streams. */
export type FailedBatches = Map<string, FailedBatch>

/** A worker ends with this if `onPoison` says stop. */
export class PoisonStop {
  readonly error: unknown

  constructor(error: unknown) {
    this.error = error
  }
}

/** What {@link workOn} works with. */
export interface ClaimWorkSettings {
  readonly root: StreamRoot
  readonly handler: AnyHandler
  readonly failed: FailedBatches
  readonly observe: (event: WorkerEvent) => void
  readonly onError: (error: unknown) => void
  /** Aborted: begin no further batch. */
  readonly draining: AbortSignal
  /** Aborted: also stop the batch that is being handled. */
  readonly stopping: AbortSignal
  /** The claim is ended after so long, in milliseconds, and claimed again: its token does not last longer. */
  readonly maxClaimMs: number
}

/** A stream of the claim that has work. */
interface Job {
  readonly path: string
  readonly tailOffset: Offset
  offset: Offset
}

/**
 * Handles the pending streams of a claim, and ends the claim.
 *
 * 1. Each stream is read from where it was handled up to, as far as the tail that the claim told.
 * 2. A batch is acknowledged once its handler has settled; acknowledgements share requests with heartbeats.
 * 3. A stream whose handler threw waits without taking a slot. If only such streams are left, the claim ends after a lease's
 *    length, so that other work is not held up.
 *
 * @returns what ended the claim; undefined if it was lost
 * @throws PoisonStop
 */
export async function workOn(
  claim: Claim,
  settings: ClaimWorkSettings,
): Promise<AckResult | undefined> {
  const { handler, draining, stopping, observe } = settings
  const abort = new LinkedAbortController(claim.signal, stopping)
  const startedAtMs = monotonicMs()
  const waiting = new Set<Job>(
    claim.streams
      .filter(({ hasPending }) => hasPending)
      .map(({ path, ackedOffset, tailOffset }) => ({ path, tailOffset, offset: ackedOffset })),
  )
  const running = new Set<Promise<void>>()
  let poison: PoisonStop | undefined
  const mayBegin = () => {
    const isLate = monotonicMs() - startedAtMs >= settings.maxClaimMs
    return poison === undefined && !abort.signal.aborted && !draining.aborted && !isLate
  }
  try {
    while (mayBegin() && waiting.size + running.size > 0) {
      for (const job of waiting) {
        if (running.size >= handler.concurrency) break
        if (readyInMs(job, settings.failed) > 0) continue
        waiting.delete(job)
        const run = handleStream(claim, job, settings, abort.signal, mayBegin)
          .then((isOver) => {
            if (!isOver) waiting.add(job)
          })
          .catch((error: unknown) => {
            poison = error instanceof PoisonStop ? error : new PoisonStop(error)
          })
          .finally(() => running.delete(run))
        running.add(run)
      }
      const nextMs = Math.min(...Array.from(waiting, (job) => readyInMs(job, settings.failed)))
      if (running.size === 0 && nextMs > 0 && monotonicMs() - startedAtMs > claim.leaseTtlMs) break
      // A slot that is free is of use only to a stream that waits for its retry.
      const timer = new LinkedAbortController(abort.signal, draining)
      const wait = sleep(
        running.size < handler.concurrency ? nextMs : Infinity,
        timer.signal,
      ).catch(() => undefined)
      await Promise.race([wait, ...running])
      timer.abort()
    }
    await Promise.all(running)
    if (poison !== undefined) throw poison
    const result = await claim.ack([], { done: true })
    reportRejected(result, observe)
    observe({ kind: "released", nextWake: result.nextWake })
    return result
  } catch (error) {
    if (error instanceof PoisonStop) {
      await claim.release().catch(settings.onError)
      throw error
    }
    observe({ kind: "lost", error })
    settings.onError(error)
    return undefined
  } finally {
    abort.end()
  }
}

function readyInMs({ path }: Job, failed: FailedBatches): number {
  return Math.max(0, (failed.get(path)?.retryAtMs ?? -Infinity) - monotonicMs())
}

/** Handles one stream. @returns whether it is over for this claim; false if it waits for another attempt */
async function handleStream(
  claim: Claim,
  job: Job,
  settings: ClaimWorkSettings,
  signal: AbortSignal,
  mayBegin: () => boolean,
): Promise<boolean> {
  const { handler, failed, observe } = settings
  let batch: AnyBatch | undefined
  try {
    job.offset = laterOffset(job.offset, await handler.startOffset?.(job.path))
    if (reaches(job.offset, job.tailOffset)) {
      acknowledge(claim, job, settings)
      return true
    }
    for await (batch of batchesFrom(job, settings, signal)) {
      if (!mayBegin()) return true
      // An empty page moves the offset and has nothing to handle.
      if (!isEmpty(batch)) await handle(batch, job, settings, signal)
      failed.delete(job.path)
      if (signal.aborted) return true
      job.offset = batch.offset
      observe({ kind: "handled", path: job.path, offset: batch.offset })
      acknowledge(claim, job, settings)
      if (reaches(job.offset, job.tailOffset) || !mayBegin()) return true
      batch = undefined
    }
    return true
  } catch (error) {
    if (signal.aborted) return true
    if (error instanceof OffsetMismatchError && failed.get(job.path)?.startOffset !== job.offset) {
      // Another worker handled the batch: go on where the store is. If that happens again, it is a failure like others.
      noteFailure(job, settings, error, 0)
      job.offset = error.storedOffset
      return false
    }
    if (batch === undefined && failureOf(error) !== undefined && isGone(error)) {
      observe({ kind: "gone", path: job.path })
      return true
    }
    return await afterFailure(claim, job, batch, error, settings, signal)
  }
}

async function afterFailure(
  claim: Claim,
  job: Job,
  batch: AnyBatch | undefined,
  error: unknown,
  settings: ClaimWorkSettings,
  signal: AbortSignal,
): Promise<boolean> {
  const { handler, failed, observe, onError } = settings
  const attempts = attemptsOf(job, failed) + 1
  onError(error)
  if (batch !== undefined && handler.onPoison !== undefined && attempts >= handler.maxAttempts) {
    const context = { path: job.path, startOffset: job.offset, signal, attempt: attempts, error }
    if ((await handler.onPoison(batch, context)) !== "skip") throw new PoisonStop(error)
    failed.delete(job.path)
    job.offset = batch.offset
    observe({ kind: "skipped", path: job.path, offset: batch.offset, error })
    acknowledge(claim, job, settings)
    return reaches(job.offset, job.tailOffset)
  }
  noteFailure(job, settings, error, backoffDelayMs(handler.backoff, attempts, Math.random()))
  return false
}

function noteFailure(
  job: Job,
  { failed, observe }: ClaimWorkSettings,
  error: unknown,
  delayMs: number,
): void {
  const { path, offset: startOffset } = job
  const attempts = attemptsOf(job, failed) + 1
  failed.set(path, { startOffset, attempts, retryAtMs: monotonicMs() + delayMs })
  observe({ kind: "retry", path, startOffset, attempt: attempts, delayMs, error })
}

function attemptsOf({ path, offset }: Job, failed: FailedBatches): number {
  const known = failed.get(path)
  return known?.startOffset === offset ? known.attempts : 0
}

async function handle(
  batch: AnyBatch,
  job: Job,
  { handler, failed }: ClaimWorkSettings,
  signal: AbortSignal,
): Promise<void> {
  const attempt = attemptsOf(job, failed) + 1
  await handler.onBatch(batch, { path: job.path, startOffset: job.offset, signal, attempt })
}

/** Not awaited: the next batch is handled meanwhile. What fails here fails the end of the claim, too. */
function acknowledge(claim: Claim, { path, offset }: Job, { observe }: ClaimWorkSettings): void {
  if (offset === START_OFFSET) return
  claim.ack([{ path, offset }]).then(
    (result) => reportRejected(result, observe),
    () => undefined,
  )
}

function reportRejected({ rejected }: AckResult, observe: (event: WorkerEvent) => void): void {
  for (const { path, offset, reason } of rejected)
    observe({ kind: "rejected-ack", path, offset, reason })
}

async function* batchesFrom(
  { path, offset }: Job,
  { root, handler }: ClaimWorkSettings,
  signal: AbortSignal,
): AsyncGenerator<AnyBatch> {
  const response = await stream({
    ...root.streamOptions(path),
    offset,
    live: false,
    signal,
    warnOnHttp: false,
    ...(handler.as === "json" && { json: true }),
  })
  if (handler.as === "json") yield* response.jsonBatches()
  else if (handler.as === "text") yield* response.textChunks()
  else yield* response.byteChunks()
}

function isEmpty(batch: AnyBatch): boolean {
  if ("items" in batch) return batch.items.length === 0
  return "text" in batch ? batch.text === "" : batch.data.byteLength === 0
}

function isGone(error: unknown): boolean {
  // failureOf has found it to be the error of a request.
  const { code } = error as { readonly code?: unknown }
  return code === "NOT_FOUND" || code === "GONE"
}

/** The protocol lets offsets be compared as strings; the start is before every other. */
function reaches(offset: Offset, tail: Offset): boolean {
  return offset === tail || (offset !== START_OFFSET && (tail === START_OFFSET || offset > tail))
}

function laterOffset(acked: Offset, stored: Offset | undefined): Offset {
  return stored !== undefined && reaches(stored, acked) ? stored : acked
}
