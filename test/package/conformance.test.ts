import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import { Readable } from "node:stream"
import type { ReadableStream } from "node:stream/web"
import { pathToFileURL } from "node:url"
import { afterAll, beforeAll, describe, inject } from "vitest"
import type * as Testing from "../../src/testing/index.ts"

interface ConformanceSuite {
  /** Declares the tests. The options are read when they run. */
  runConformanceTests(options: { baseUrl: string; longPollTimeoutMs: number }): void
}

const LONG_POLL_TIMEOUT_MS = 500
const load = (path: string): Promise<unknown> => import(pathToFileURL(path).href)

// Both modules are of the packed package, or use it; what they export is as the types say.
const { runConformanceTests } = (await load(inject("conformanceSuite"))) as ConformanceSuite
const { createTestServer } = (await load(
  `${inject("packageFolder")}/dist/testing.js`,
)) as typeof Testing

/** Puts a test server behind a real socket. */
function listen(server: Testing.TestServer): Server {
  const respond = async (incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> => {
    const controller = new AbortController()
    outgoing.on("close", () => controller.abort())
    const chunks: Uint8Array[] = []
    for await (const chunk of incoming) chunks.push(chunk as Uint8Array)
    const body = Buffer.concat(chunks)
    const headers = new Headers()
    for (const [name, value] of Object.entries(incoming.headers)) headers.set(name, String(value))
    const { method = "GET", url = "" } = incoming
    const init = { method, headers, signal: controller.signal }
    const response = await server.fetch(
      server.url + url,
      body.length === 0 ? init : { ...init, body },
    )
    outgoing.writeHead(response.status, [...response.headers].flat())
    if (response.body === null) outgoing.end()
    else {
      // Node's type of a stream and the platform's are two of the same.
      const stream = Readable.fromWeb(response.body as ReadableStream)
      stream.on("error", () => outgoing.destroy()).pipe(outgoing)
    }
  }
  return createServer((incoming, outgoing) => {
    respond(incoming, outgoing).catch(() => outgoing.destroy())
  })
}

describe("createTestServer conforms to the protocol by the suite of its servers", () => {
  const options = { baseUrl: "", longPollTimeoutMs: LONG_POLL_TIMEOUT_MS }
  const model = createTestServer({ longPollTimeoutMs: LONG_POLL_TIMEOUT_MS })
  const server = listen(model)
  beforeAll(async () => {
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
    // A server that listens on a port has this address.
    options.baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  })
  afterAll(() => {
    model.close()
    server.closeAllConnections()
    server.close()
  })
  runConformanceTests(options)
})
