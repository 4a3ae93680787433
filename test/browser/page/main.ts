import * as client from "@durable-streams/client"
import * as outbox from "@durable-streams/client/outbox"
import { showList, view, views, type ViewRecord } from "./views.ts"
import { closers, serveParent, tailElsewhere, type Elsewhere } from "./elsewhere.ts"
import { describe, tail, type TailOptions, type TailRecord } from "./tails.ts"
import { runSmokeCases, type SmokeResult } from "../../runtimes/smoke-cases.ts"

/** What the tests find in a page: the package, and tails that go on while the test looks elsewhere. */
export interface TestPage {
  readonly client: typeof client
  readonly outbox: typeof outbox
  readonly tails: Record<string, TailRecord>
  /** Begins to tail; what comes is found in `tails[name]`. Resolves with the first response. */
  tail(name: string, options: TailOptions): Promise<void>
  /** The same in a frame or a worker of this page. */
  tailElsewhere(where: Elsewhere, name: string, options: TailOptions): Promise<void>
  /** By the names of tails: ends the frame or worker in which they are. */
  readonly closers: Record<string, () => void>
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

const tails: Record<string, TailRecord> = {}

const tailHere = (name: string, options: TailOptions) =>
  tail(options, (record) => (tails[name] = record))

const tailThere = (where: Elsewhere, name: string, options: TailOptions) =>
  tailElsewhere(where, name, options, (report) => (tails[report.name] = report.record))

const smoke = (serverUrl: string) => runSmokeCases(client, serverUrl)

window.testPage = {
  client,
  outbox,
  tails,
  tail: tailHere,
  tailElsewhere: tailThere,
  closers,
  views,
  view,
  showList,
  smoke,
  describe,
}
serveParent()
