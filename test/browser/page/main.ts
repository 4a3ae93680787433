import * as client from "@durable-streams/client"
import * as outbox from "@durable-streams/client/outbox"
import { sharedStream, type SharedStreamEvent } from "@durable-streams/client/tabs"
import { showList, view, views, type ViewRecord } from "./views.ts"
import { runSmokeCases, type SmokeResult } from "../../runtimes/smoke-cases.ts"

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

/** What the tests find in a page: the package, and tails that go on while the test looks elsewhere. */
export interface TestPage {
  readonly client: typeof client
  readonly outbox: typeof outbox
  readonly tails: Record<string, TailRecord>
  /** Begins to tail; what comes is found in `tails[name]`. Resolves with the first response. */
  tail(name: string, options: TailOptions): Promise<void>
  /** What {@link TestPage.view} has shown so far. */
  readonly views: Record<string, ViewRecord>
  /** Shows a view of a stream of numbers: what it shows is found in `views[name]`. */
  view: typeof view
  /** The same with React, in the document. */
  showList: typeof showList
  /** Runs the cases that hold on every platform. */
  smoke(serverUrl: string): Promise<SmokeResult[]>
  /** An error in one line. */
  describe(error: unknown): string
}

declare global {
  interface Window {
    testPage: TestPage
  }
}

const describe = (error: unknown) =>
  error instanceof Error ? `${error.name}: ${error.message}` : String(error)

const tails: Record<string, TailRecord> = {}

async function tail(name: string, { as, shareKey, ...options }: TailOptions): Promise<void> {
  const record: TailRecord = { items: [], text: "", offset: "", upToDate: false, events: [] }
  tails[name] = record
  try {
    const observe = (event: SharedStreamEvent) => void record.events.push(event)
    const response =
      shareKey === undefined
        ? await client.stream({ ...options, observe })
        : await sharedStream({ ...options, observe, shareKey })
    const note = ({ offset, upToDate }: client.JsonBatchMeta) => {
      record.offset = offset
      record.upToDate = upToDate
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
      () => (record.end = "ended"),
      (error: unknown) => (record.end = describe(error)),
    )
  } catch (error) {
    record.end = describe(error)
  }
}

const smoke = (serverUrl: string) => runSmokeCases(client, serverUrl)

window.testPage = { client, outbox, tails, tail, views, view, showList, smoke, describe }
