import { schemaError } from "../../errors/schema-error.ts"
import { validate, type StandardSchemaV1 } from "../../protocol/standard-schema.ts"
import type { PageSource } from "../page.ts"
import type { StreamErrorHandler } from "../stream-options.ts"
import type { Delivery, Reader } from "./page-reader.ts"

/**
 * Delivers what a schema makes of the messages of a reader, one message after the other. The error handler decides about one
 * that does not match: `skip` omits it, anything else ends the session before its page.
 */
export function schemaReader<T, TBatch>(
  reader: Reader<T[], TBatch>,
  schema: StandardSchemaV1,
  source: PageSource,
  url: string,
  onError: StreamErrorHandler | undefined,
): Reader<T[], TBatch> {
  let stopWaiting: () => void = () => undefined
  // One listener for all pages.
  void source.ended.then(() => stopWaiting())

  const check = async (delivery: Delivery<T[]>): Promise<Delivery<T[]>> => {
    const value: T[] = []
    const page = delivery.whole?.page
    for (const [index, message] of delivery.value.entries()) {
      if (source.outcome !== undefined) break
      const result = await validate(schema, message)
      if (result.issues === undefined) {
        // What the schema makes of it is of the type that the caller reads.
        value.push(result.value as T)
        continue
      }
      // What was collected begins where the caller is, unless the error handler went elsewhere.
      const offset = page?.restarted === true ? page.start : source.position.offset
      const error = schemaError(url, { offset, index, issues: result.issues, value: message })
      if ((await onError?.(error))?.skip !== true) throw error
    }
    return { ...delivery, value }
  }
  return {
    next: () =>
      reader.next().then((delivery) => {
        if (delivery === undefined) return undefined
        // A schema, or the handler, may take its time: the end of the session ends the wait. What is returned then is not
        // accepted.
        const ended = new Promise<Delivery<T[]>>((resolve) => {
          stopWaiting = () => resolve(delivery)
        })
        return Promise.race([check(delivery), ended]).catch((error: unknown) => {
          source.fail(error)
          throw error
        })
      }),
    accept: (delivery) => reader.accept(delivery),
    rest: () => reader.rest(),
  }
}
