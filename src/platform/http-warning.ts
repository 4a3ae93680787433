import { isTestRun, warn } from "./console.ts"

const warnedOrigins = new Set<string>()

/**
 * Warns, once for each origin, that a browser page reads streams over plain `http:`. Browsers speak HTTP/1.1 there, with
 * about six connections for an origin, and every live read holds one of them: the seventh waits. HTTPS with HTTP/2 has no
 * such limit. Does nothing outside a browser, for a server on the same machine, and if NODE_ENV is "test".
 *
 * @param url - the stream's URL; one that does not parse is ignored
 * @param warnOnHttp - false disables the warning; default true
 */
export function warnIfUsingHttpInBrowser(url: string | URL, warnOnHttp = true): void {
  // React Native has a window and no document.
  if (!warnOnHttp || typeof window === "undefined" || typeof document === "undefined") return
  if (isTestRun()) return
  const origin = plainHttpOrigin(url)
  if (origin === undefined || warnedOrigins.has(origin)) return
  warnedOrigins.add(origin)
  warn(
    `${origin} is read over HTTP/1.1: a browser opens about six connections to it and every live stream holds one, ` +
      "so further streams and requests wait. Serve it over HTTPS with HTTP/2, or set warnOnHttp: false to hide this warning.",
  )
}

function plainHttpOrigin(url: string | URL): string | undefined {
  try {
    const { protocol, hostname, origin } = new URL(url, globalThis.location?.href)
    return protocol === "http:" && !isLocal(hostname) ? origin : undefined
  } catch {
    return undefined
  }
}

function isLocal(hostname: string): boolean {
  return /^(localhost|.+\.localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(hostname)
}
