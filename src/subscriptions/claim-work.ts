import { schemaError } from "../errors/schema-error.ts"
import { LinkedAbortController, onAbort, sleep } from "../http/abort.ts"
import { backoffDelayMs } from "../http/backoff.ts"
import { failureOf } from "../http/failure.ts"
import { monotonicMs } from "../platform/clock.ts"
import { START_OFFSET, type Offset } from "../protocol/offset.ts"
import { validate, type StandardSchemaV1 } from "../protocol/standard-schema.ts"
import type { ByteChunk, JsonBatch, TextChunk } from "../read/stream-response.ts"
import { stream } from "../stream.ts"
import type { Claim } from "./claim.ts"
import { OffsetMismatchError } from "./exactly-once.ts"
import type { StreamRoot } from "./subscriptions-request.ts"
import type { AnyHandler, WorkerEvent } from "./worker-options.ts"

type AnyBatch = JsonBatch | TextChunk | ByteChunk

/** What is known of a stream that could not be moved on; it outlives the claim, so that another claim does not begin at attempt 1. */
interface FailedBatch {
  readonly startOffset: Offset
  /** How often the handler threw for the batch at this offset. */
  readonly attempts: number
  /** How often in a row the stream could not be moved on, for whatever reason. */
  readonly failures: number
  /** On the monotonic clock. */
  readonly retryAtMs: number
}

/** The failed batches of a worker by their streams. */
export type FailedBatches = Map<string, FailedBatch>

/** `onPoison` said stop. The claim is still held. */
export class PoisonStop extends Error {
  /** What the handler threw. */
  readonly error: unknown

  constructor(error: unknown) {
    super("onPoison said stop")
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
  readonly draining?: AbortSignal
  /** Aborted: do not wait for the batch that is being handled either. */
  readonly stopping?: AbortSignal
  /** The claim is ended after so long, in milliseconds, and claimed again: its token does not last longer. */
  readonly maxClaimMs: number
}

/** How often the read of a stream is retried while it takes a slot. */
const READ_RETRIES = 2

/** A worker that no longer waits for its handlers waits this long for the release, and leaves the rest to the lease. */
const RELEASE_TIMEOUT_MS = 1_000

/** A stream of the claim that has work. */
interface Job {
  readonly path: string
  readonly ackedOffset: Offset
  readonly tailOffset: Offset
  offset: Offset
}

/**
 * Handles the pending streams of a claim, and ends the claim.
 *
 * 1. Each stream is read from where it was handled up to, as far as the tail that the claim reported.
 * 2. A batch is acknowledged once its handler has settled; acknowledgements share requests with heartbeats.
 * 3. A stream whose handler threw waits without taking a slot. If only such streams are left for longer than the time between
 *    two heartbeats, the claim ends, so that they do not delay the work of other streams.
 *
 * @returns whether the server has written another wake event; false if the claim was lost, too
 * @throws PoisonStop
 */
export async function workOn(claim: Claim, settings: ClaimWorkSettings): Promise<boolean> {
  const { handler, failed, draining, stopping, observe } = settings
  const abort = new LinkedAbortController(claim.signal, stopping)
  const endAtMs = monotonicMs() + settings.maxClaimMs
  const pending = claim.streams.filter(({ hasPending }) => hasPending)
  const waiting = new Set<Job>(pending.map((stream) => ({ ...stream, offset: stream.ackedOffset })))
  const running = new Set<Promise<void>>()
  let idleSinceMs: number | undefined
  let poison: PoisonStop | undefined
  let hasBegun = false
  const isAllowed = () =>
    poison === undefined &&
    !abort.signal.aborted &&
    draining?.aborted !== true &&
    // Each claim begins one batch at least, or a slow reader would never get anywhere.
    (monotonicMs() < endAtMs || !hasBegun)
  const begin = () => isAllowed() && (hasBegun = true)
  forgetOthers(failed, pending)
  try {
    while (isAllowed() && waiting.size + running.size > 0) {
      for (const job of waiting) {
        if (running.size >= handler.concurrency) break
        if (readyInMs(job, failed) > 0) continue
        waiting.delete(job)
        const run: Promise<void> = handleStream(claim, job, settings, abort.signal, begin)
          .then((isOver) => {
            if (!isOver) waiting.add(job)
          })
          .catch((error: unknown) => {
            poison = error instanceof PoisonStop ? error : new PoisonStop(error)
          })
          .finally(() => running.delete(run))
        running.add(run)
      }
      const nowMs = monotonicMs()
      idleSinceMs = running.size > 0 ? undefined : (idleSinceMs ?? nowMs)
      const idleEndMs = (idleSinceMs ?? Infinity) + claim.leaseTtlMs / 3
      if (nowMs >= idleEndMs || (running.size === 0 && nowMs >= endAtMs)) break
      const untilEndMs = nowMs < endAtMs ? endAtMs - nowMs : Infinity
      // A slot that is free is of use only to a stream that waits for its retry.
      const hasSlot = running.size < handler.concurrency
      const untilRetryMs = hasSlot ? nextReadyInMs(waiting, failed) : Infinity
      const waitMs = Math.min(untilRetryMs, idleEndMs - nowMs, untilEndMs)
      await raceSleep(waitMs, running, [abort.signal, draining])
    }
    await allSettled(running, stopping)
    if (poison !== undefined) throw poison
    return await endClaim(claim, settings)
  } catch (error) {
    if (error instanceof PoisonStop) throw error
    // Whatever failed, nothing may go on extending a lease under which nobody works.
    claim.abandon()
    observe({ kind: "lost", error })
    settings.onError(error)
    return false
  } finally {
    abort.end()
  }
}

/** Waits for the handlers. One may ignore its signal; nothing that it does is acknowledged any more. */
async function allSettled(
  running: ReadonlySet<Promise<void>>,
  stopping: AbortSignal | undefined,
): Promise<void> {
  while (running.size > 0 && stopping?.aborted !== true) {
    await raceSleep(Infinity, running, [stopping])
  }
}

/** Ends a claim as done; releases it if the worker does not wait for its handlers. */
async function endClaim(claim: Claim, { stopping, observe }: ClaimWorkSettings): Promise<boolean> {
  let nextWake = false
  if (stopping?.aborted === true) await claim.release({ timeoutMs: RELEASE_TIMEOUT_MS })
  else {
    const unfollow = stopping && onAbort(stopping, () => claim.abandon())
    const done = claim.ack([], { done: true })
    ;({ nextWake } = await done.finally(() => unfollow?.()))
  }
  observe({ kind: "released", nextWake })
  return nextWake
}

/** What is not pending any more was handled elsewhere, or is gone. */
function forgetOthers(failed: FailedBatches, pending: readonly { readonly path: string }[]): void {
  for (const path of failed.keys()) {
    if (!pending.some((stream) => stream.path === path)) failed.delete(path)
  }
}

/** Waits until a stream has been handled, but no longer than that, or than for the signals. */
async function raceSleep(
  ms: number,
  running: ReadonlySet<Promise<void>>,
  signals: readonly (AbortSignal | undefined)[],
): Promise<void> {
  const end = new LinkedAbortController(...signals)
  await Promise.race([sleep(ms, end.signal).catch(() => undefined), ...running])
  end.abort()
}

function nextReadyInMs(jobs: Iterable<Job>, failed: FailedBatches): number {
  let ms = Infinity
  for (const job of jobs) ms = Math.min(ms, readyInMs(job, failed))
  return ms
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
  begin: () => boolean,
): Promise<boolean> {
  const { handler, failed, observe } = settings
  let batch: AnyBatch | undefined
  const isOver = () => {
    // A server that goes on reporting what cannot be read as pending must not be asked for it in a loop.
    if (reaches(job.ackedOffset, job.offset)) noteFailure(job, settings)
    return true
  }
  try {
    job.offset = laterOffset(job.offset, await handler.startOffset?.(job.path))
    if (reaches(job.offset, job.tailOffset)) {
      acknowledge(claim, job, settings)
      return isOver()
    }
    for await (batch of batchesFrom(job, settings, signal)) {
      if (!begin()) return true
      // An empty page moves the offset and has nothing to handle.
      const hasContent = !isEmpty(batch)
      if (hasContent) {
        await handle(batch, job, settings, signal)
        failed.delete(job.path)
      }
      if (signal.aborted) return true
      job.offset = batch.offset
      if (hasContent) observe({ kind: "handled", path: job.path, offset: batch.offset })
      acknowledge(claim, job, settings)
      if (reaches(job.offset, job.tailOffset)) return true
      batch = undefined
    }
    return isOver()
  } catch (error) {
    if (signal.aborted) return true
    if (batch === undefined && failureOf(error) !== undefined && isGone(error)) {
      observe({ kind: "gone", path: job.path })
      return isOver()
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
  if (error instanceof OffsetMismatchError) {
    // Another worker handled the batch: go on where the store is. At once, unless that happens again.
    noteFailure(job, settings, { isAtOnce: !failed.has(job.path) })
    job.offset = error.storedOffset
    return false
  }
  onError(error)
  const isAttempt = batch !== undefined
  const attempts = attemptsOf(job, failed) + Number(isAttempt)
  if (isAttempt && handler.onPoison !== undefined && attempts >= handler.maxAttempts) {
    const context = { path: job.path, startOffset: job.offset, signal, attempt: attempts, error }
    try {
      if ((await handler.onPoison(batch, context)) !== "skip") throw new PoisonStop(error)
    } catch (thrown) {
      if (!(thrown instanceof OffsetMismatchError)) throw thrown
      return await afterFailure(claim, job, batch, thrown, settings, signal)
    }
    failed.delete(job.path)
    job.offset = batch.offset
    observe({ kind: "skipped", path: job.path, offset: batch.offset, error })
    acknowledge(claim, job, settings)
    return reaches(job.offset, job.tailOffset)
  }
  const delayMs = noteFailure(job, settings, { isAttempt })
  observe({
    kind: "retry",
    path: job.path,
    startOffset: job.offset,
    attempt: attempts,
    delayMs,
    error,
  })
  return false
}

/** @returns how long the stream waits, in milliseconds */
function noteFailure(
  job: Job,
  { handler, failed }: ClaimWorkSettings,
  { isAttempt = false, isAtOnce = false } = {},
): number {
  const { path, offset: startOffset } = job
  const failures = (failed.get(path)?.failures ?? 0) + 1
  const attempts = attemptsOf(job, failed) + Number(isAttempt)
  const delayMs = isAtOnce ? 0 : backoffDelayMs(handler.backoff, failures, Math.random())
  failed.set(path, { startOffset, attempts, failures, retryAtMs: monotonicMs() + delayMs })
  return delayMs
}

function attemptsOf({ path, offset }: Job, failed: FailedBatches): number {
  const known = failed.get(path)
  return known?.startOffset === offset ? known.attempts : 0
}

async function handle(
  batch: AnyBatch,
  job: Job,
  { root, handler, failed }: ClaimWorkSettings,
  signal: AbortSignal,
): Promise<void> {
  const { path, offset: startOffset } = job
  const attempt = attemptsOf(job, failed) + 1
  const { schema } = handler
  const given = schema === undefined ? batch : await matchingBatch(batch, schema, root, job)
  await handler.onBatch(given, { path, startOffset, signal, attempt })
}

/** The batch with what a schema makes of its messages. @throws DurableStreamError `SCHEMA` */
async function matchingBatch(
  batch: AnyBatch,
  schema: StandardSchemaV1,
  root: StreamRoot,
  { path, offset }: Job,
): Promise<AnyBatch> {
  if (!("items" in batch)) return batch
  const url = String(root.streamOptions(path).url)
  const items: unknown[] = []
  for (const [index, value] of batch.items.entries()) {
    const result = await validate(schema, value)
    if (result.issues !== undefined) {
      throw schemaError(url, { offset, index, issues: result.issues, value })
    }
    items.push(result.value)
  }
  return { ...batch, items }
}

/** Not awaited: the next batch is handled meanwhile. What is not acknowledged stays pending, and comes again. */
function acknowledge(claim: Claim, job: Job, settings: ClaimWorkSettings): void {
  const { path, offset, ackedOffset } = job
  // A store that was behind was brought up to what the server knows already.
  if (reaches(ackedOffset, offset)) return
  claim.ack([{ path, offset }]).then(
    ({ rejected }) => {
      const ack = rejected.find((it) => it.path === path)
      if (ack === undefined) return
      noteFailure({ ...job, offset: ackedOffset }, settings)
      settings.observe({ kind: "rejected-ack", path, offset: ack.offset, reason: ack.reason })
    },
    () => undefined,
  )
}

async function* batchesFrom(
  { path, offset }: Job,
  { root, handler }: ClaimWorkSettings,
  signal: AbortSignal,
): AsyncGenerator<AnyBatch> {
  const options = root.streamOptions(path)
  const { maxRetries = Infinity } = options.backoffOptions ?? {}
  const response = await stream({
    ...options,
    // A stream that cannot be read waits as one whose handler threw: without a slot.
    backoffOptions: { ...options.backoffOptions, maxRetries: Math.min(maxRetries, READ_RETRIES) },
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

/** Whether an offset is at another, or behind it. The protocol lets offsets be compared as strings; the start is before every other. */
function reaches(offset: Offset, tail: Offset): boolean {
  return offset === tail || (offset !== START_OFFSET && (tail === START_OFFSET || offset > tail))
}

function laterOffset(acked: Offset, stored: Offset | undefined): Offset {
  return stored !== undefined && reaches(stored, acked) ? stored : acked
}
