import type { EndpointOptions } from "../http/endpoint.ts"
import type { HeadersValues, ParamsRecord } from "../http/request-inputs.ts"

/** The options of the last render that was shown. */
export interface Latest<T> {
  current: T
}

type RequestOptions = Pick<EndpointOptions, "headers" | "params" | "fetch">

/** What each request is made with, as the last render gave it. The names of params are those of the first. */
export function latestRequestOptions(latest: Latest<RequestOptions>): RequestOptions {
  const { headers, params, fetch } = latest.current
  return {
    ...(headers !== undefined && {
      headers: () => {
        const given = latest.current.headers ?? {}
        // Functions among them are called, as those of the option itself are.
        return typeof given === "function" ? given() : (given as HeadersValues)
      },
    }),
    ...(params !== undefined && { params: latestParams(latest, params) }),
    ...(fetch !== undefined && {
      fetch: (input, init) => (latest.current.fetch ?? globalThis.fetch)(input, init),
    }),
  }
}

function latestParams(latest: Latest<RequestOptions>, first: ParamsRecord): ParamsRecord {
  const names = Object.keys(first)
  return Object.fromEntries(
    names.map((name) => [
      name,
      () => {
        const value = latest.current.params?.[name]
        return typeof value === "function" ? value() : value
      },
    ]),
  )
}
