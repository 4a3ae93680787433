import { FetchBackoffAbortError } from "../../errors/fetch-backoff-abort-error.ts"
import {
  asAsyncIterableReadableStream,
  type ReadableStreamAsyncIterable,
} from "../../platform/async-iterable-stream.ts"
import type { Session } from "../session.ts"

/** Puts what it has into the stream when the consumer wants something; true at the end. */
export type Produce<T> = (controller: ReadableStreamDefaultController<T>) => Promise<boolean>

/**
 * A session as a ReadableStream that holds nothing the consumer has not asked for. An abort errors it at once, also
 * between two reads; a cancel of the response closes it; cancelling it ends the session.
 *
 * @param onEnd - told when the stream has ended, in whatever way
 */
export function sessionStream<T>(
  session: Session,
  produce: Produce<T>,
  onEnd: () => void,
): ReadableStreamAsyncIterable<T> {
  let open = true
  const close = (end: () => void) => {
    if (!open) return
    open = false
    end()
    onEnd()
  }
  const stream = new ReadableStream<T>(
    {
      start(controller) {
        void session.ended.then((outcome) => {
          if (outcome.kind === "aborted") {
            close(() => {
              controller.error(new FetchBackoffAbortError(outcome.reason))
            })
          } else if (outcome.kind === "cancelled") {
            close(() => {
              controller.close()
            })
          }
        })
      },
      async pull(controller) {
        try {
          if (await produce(controller)) {
            close(() => {
              controller.close()
            })
          }
        } catch (error) {
          close(() => {
            controller.error(error)
          })
        }
      },
      cancel(reason) {
        close(() => {
          session.cancel(reason)
        })
      },
    },
    // Nothing is pulled before it is read: what was not read was not delivered.
    { highWaterMark: 0 },
  )
  return asAsyncIterableReadableStream(stream)
}
