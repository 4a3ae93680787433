import type { BenchCase } from "../case.ts"
import { appendCases } from "./append.ts"
import { browserCases } from "./browser.ts"
import { bytesCases } from "./bytes.ts"
import { catchUpCases } from "./catch-up.ts"
import { farLinkCases } from "./far-link.ts"
import { latencyCases } from "./latency.ts"
import { outboxCases } from "./outbox.ts"
import { packageCases } from "./package-size.ts"
import { producerCases } from "./producer.ts"
import { referenceCases } from "./reference.ts"
import { sessionsCases } from "./sessions.ts"
import { slowServerCases } from "./slow-server.ts"
import { smallPagesCases } from "./small-pages.ts"
import { sseCases } from "./sse.ts"
import { subscriptionCases } from "./subscriptions.ts"

/** Every case, in the order of the table. */
export const benchCases: readonly BenchCase[] = [
  ...catchUpCases,
  ...smallPagesCases,
  ...bytesCases,
  ...sseCases,
  ...producerCases,
  ...appendCases,
  ...outboxCases,
  ...farLinkCases,
  ...latencyCases,
  ...sessionsCases,
  ...slowServerCases,
  ...browserCases,
  ...packageCases,
  ...referenceCases,
  ...subscriptionCases,
]
