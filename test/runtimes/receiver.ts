import { webhookHandler } from "@durable-streams/client/subscriptions"

/** Where a receiver finds its server. */
export interface ReceiverSettings {
  readonly root: string
  readonly subscription: string
  readonly jwksUrl: string
  /** Set if it responds before its work. */
  readonly waits?: string
}

/** What a receiver did, as `GET /report` gives it. */
export interface ReceiverReport {
  /** What came to the webhook, verified or not. */
  readonly deliveries: { readonly signature: string | null; readonly body: string }[]
  /** The paths of the batches that were begun, and the messages of those that were handled. */
  readonly begun: string[]
  readonly handled: string[]
  readonly errors: string[]
}

/**
 * A receiver of webhooks for every runtime. It is slow with streams named `slow`, and its callbacks get lost while it handles the
 * first batch of one named `lost`.
 */
export function createReceiver(
  { root, subscription, jwksUrl }: ReceiverSettings,
  waitUntil?: (work: Promise<void>) => void,
): (request: Request) => Promise<Response> {
  const report: ReceiverReport = { deliveries: [], begun: [], handled: [], errors: [] }
  let isCut = false
  let wasCut = false
  const handler = webhookHandler<{ n: number }>({
    root,
    subscription,
    jwksUrl,
    waitUntil,
    backoffOptions: { initialDelay: 50, maxDelay: 200 },
    fetch: (input, init) =>
      isCut && String(input).endsWith("/callback")
        ? Promise.reject(new TypeError("fetch failed"))
        : fetch(input, init),
    onError: (error) => report.errors.push(String(error)),
    async onBatch({ items }, { path, signal }) {
      report.begun.push(path)
      if (path.endsWith("slow")) await new Promise((resolve) => setTimeout(resolve, 1_500))
      if (path.endsWith("lost") && !wasCut) {
        wasCut = isCut = true
        await new Promise((resolve) => signal.addEventListener("abort", resolve))
        isCut = false
        return
      }
      report.handled.push(...items.map(({ n }) => `${path} ${n}`))
    },
  })
  return async (request) => {
    if (new URL(request.url).pathname === "/report") return Response.json(report)
    const body = await request.clone().text()
    report.deliveries.push({ signature: request.headers.get("webhook-signature"), body })
    return handler(request)
  }
}
