const warnedOrigins = new Set<string>()

/**
 * Warns, once for each origin, when a browser page reads or writes streams over plain `http:`. Browsers speak
 * HTTP/1.1 there, with about six connections for an origin, and every live read holds one of them: the seventh
 * waits for ever. HTTPS with HTTP/2 has no such limit. Does nothing outside a browser.
 *
 * @param url - the stream's URL; one that does not parse is left to the request to refuse
 * @param warnOnHttp - false keeps it quiet; default true
 */
export function warnIfUsingHttpInBrowser(url: string | URL, warnOnHttp = true): void {
  if (!warnOnHttp || typeof window === "undefined" || typeof console === "undefined") return
  const origin = plainHttpOrigin(url)
  if (origin === undefined || warnedOrigins.has(origin)) return
  warnedOrigins.add(origin)
  console.warn(
    `[durable-streams] ${origin} is read over HTTP/1.1: a browser opens about six connections to it and every ` +
      "live stream holds one, so further streams and requests wait. Serve it over HTTPS with HTTP/2, or set " +
      "warnOnHttp: false to hide this warning.",
  )
}

function plainHttpOrigin(url: string | URL): string | undefined {
  try {
    const parsed = new URL(url, globalThis.location?.href)
    return parsed.protocol === "http:" ? parsed.origin : undefined
  } catch {
    return undefined
  }
}
