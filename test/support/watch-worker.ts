import {
  runWorker,
  type Subscriptions,
  type Worker,
  type WorkerEvent,
  type WorkerOptions,
} from "../../src/subscriptions/index.ts"

/** A worker, with what it reports. */
export interface WatchedWorker {
  readonly worker: Worker
  readonly events: WorkerEvent[]
  readonly errors: unknown[]
}

/** Runs the worker `w`, and keeps what it reports. */
export function watchWorker<T>(
  subscriptions: Subscriptions,
  id: string,
  options: Partial<WorkerOptions<T>> & Pick<WorkerOptions<T>, "onBatch">,
): WatchedWorker {
  const events: WorkerEvent[] = []
  const errors: unknown[] = []
  const worker = runWorker<T>(subscriptions, id, {
    worker: "w",
    observe: (event) => events.push(event),
    onError: (error) => errors.push(error),
    ...options,
  })
  return { worker, events, errors }
}
