import * as client from "@durable-streams/client"
import { sharedStream, type SharedStreamEvent } from "@durable-streams/client/tabs"

/** What a tail brought so far; plain data, so that it can be taken out of the page. */
export interface TailRecord {
  /** JSON messages, or the text, or the bytes as numbers. */
  readonly items: unknown[]
  text: string
  offset: string
  upToDate: boolean
  readonly events: SharedStreamEvent[]
  /** How it ended: `ended`, or the error's name and message. */
  end?: string
}

/** How to tail. */
export interface TailOptions extends Pick<
  client.StreamOptions,
  "url" | "offset" | "live" | "idleTimeoutMs" | "pauseWhenHidden" | "backoffOptions" | "warnOnHttp"
> {
  readonly as: "json" | "text" | "bytes"
  /** If it is given, the tabs share a connection. */
  readonly shareKey?: string
}

/** A request to tail, and what it brought, as they are posted between a page and its frames and workers. */
export interface TailRequest {
  readonly name: string
  readonly options: TailOptions
}
export interface TailReport {
  readonly name: string
  readonly record: TailRecord
}

/** An error in one line. */
export const describe = (error: unknown) =>
  error instanceof Error ? `${error.name}: ${error.message}` : String(error)

/**
 * Begins to tail. Resolves with the first response.
 *
 * @param onChange - called with the record whenever it has more
 */
export async function tail(
  { as, shareKey, ...options }: TailOptions,
  onChange: (record: TailRecord) => void,
): Promise<void> {
  const record: TailRecord = { items: [], text: "", offset: "", upToDate: false, events: [] }
  const end = (how: string) => {
    record.end = how
    onChange(record)
  }
  onChange(record)
  try {
    const observe = (event: SharedStreamEvent) => {
      record.events.push(event)
      onChange(record)
    }
    const response =
      shareKey === undefined
        ? await client.stream({ ...options, observe })
        : await sharedStream({ ...options, observe, shareKey })
    const note = ({ offset, upToDate }: client.JsonBatchMeta) => {
      record.offset = offset
      record.upToDate = upToDate
      onChange(record)
    }
    if (as === "json") {
      response.subscribeJson((batch) => {
        record.items.push(...batch.items)
        note(batch)
      })
    } else if (as === "text") {
      response.subscribeText((chunk) => {
        record.text += chunk.text
        note(chunk)
      })
    } else {
      response.subscribeBytes((chunk) => {
        record.items.push(...chunk.data)
        note(chunk)
      })
    }
    void response.closed.then(
      () => end("ended"),
      (error: unknown) => end(describe(error)),
    )
  } catch (error) {
    end(describe(error))
  }
}
