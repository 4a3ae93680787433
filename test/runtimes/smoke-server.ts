import { startBreakingProxy, type BreakingProxy } from "../support/breaking-proxy.ts"
import { startReferenceServer } from "../support/reference-server.ts"

/** What the smoke programs read and write. */
export interface SmokeServer {
  readonly url: string
  /** The streams of which a response was lost on purpose. */
  readonly lost: ReadonlySet<string>
  stop(): Promise<void>
}

/** Starts the reference server behind a proxy that does what the name of a stream asks for. */
export async function startSmokeServer(): Promise<SmokeServer> {
  const reference = await startReferenceServer({ longPollTimeout: 2_000 })
  const proxy: BreakingProxy = await startBreakingProxy(reference.url)
  const lost = new Set<string>()
  proxy.decide = ({ method, path }) => {
    if (path.includes("unreachable")) return { kind: "lose-request", how: "reset" }
    if (method !== "POST" || !path.includes("loses-response") || lost.has(path)) {
      return { kind: "pass" }
    }
    lost.add(path)
    return { kind: "lose-response", how: "reset" }
  }
  return {
    url: proxy.url,
    lost,
    stop: async () => {
      await proxy.stop()
      await reference.stop()
    },
  }
}
