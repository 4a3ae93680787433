import type { Endpoint } from "./endpoint.ts"

/**
 * Where a handle keeps its endpoint. Registered for the whole realm, so that a handle made by one copy of this package
 * (its CommonJS build) serves a producer made by another (its ES module build).
 */
export const endpointSymbol: unique symbol = Symbol.for("@durable-streams/client.endpoint")

/** What has an endpoint: the handle of a stream. */
export interface EndpointHolder {
  readonly [endpointSymbol]: Endpoint
}

/** The endpoint of a handle, or undefined where the value is none. */
export function endpointOf(handle: unknown): Endpoint | undefined {
  if (typeof handle !== "object" || handle === null) return undefined
  // Any object may be asked for a property; what the handle keeps under this symbol is an endpoint.
  return (handle as Partial<EndpointHolder>)[endpointSymbol]
}
