import { execFile } from "node:child_process"
import type { ServerResponse } from "node:http"
import { promisify } from "node:util"
import { expect, it } from "vitest"
import { startMisbehavingServer, type SeenRequest } from "../support/misbehaving-server.ts"

/** The first is stored, the others come live. */
const PAGES = 3
const PAGE_BYTES = 500_000

/** What a session may keep. One that waits takes less than a tenth of it; the rest is what the process had use for. */
const KEPT_BYTES = PAGE_BYTES / 2

const page = JSON.stringify(
  Array.from({ length: 100 }, (_, id) => ({ id, text: "x".repeat(PAGE_BYTES / 100) })),
)

it("a session that waits keeps nothing of what it has delivered, however it is consumed", async () => {
  const waiting = new Set<ServerResponse>()
  await using server = await startMisbehavingServer((request, response) => {
    if (request.path === "/waiting") {
      response.end(JSON.stringify({ waiting: waiting.size, tail: `p${PAGES}` }))
    } else serve(request, response, waiting)
  })
  const script = new URL("./waiting-sessions.ts", import.meta.url).pathname
  const program = ["--import", "tsx", script, server.url, "3"]
  const { stdout } = await promisify(execFile)(process.execPath, program)
  // The script prints nothing else.
  const report = JSON.parse(stdout) as Record<string, number>
  expect(Object.keys(report)).toHaveLength(18)
  for (const [way, bytes] of Object.entries(report)) expect(bytes, way).toBeLessThan(KEPT_BYTES)
}, 60_000)

function serve(
  { query }: SeenRequest,
  response: ServerResponse,
  waiting: Set<ServerResponse>,
): void {
  const offset = query.get("offset") ?? ""
  const live = query.get("live")
  const index = offset === "-1" ? 0 : Number(offset.slice(1))
  const wait = () => {
    waiting.add(response)
    response.on("close", () => waiting.delete(response))
  }
  if (live === "sse") {
    response.writeHead(200, { "content-type": "text/event-stream" })
    for (let next = index; next < PAGES; next++) {
      const control = JSON.stringify({ streamNextOffset: `p${next + 1}`, upToDate: true })
      response.write(`event: data\ndata: ${page}\n\nevent: control\ndata: ${control}\n\n`)
    }
    wait()
  } else if (index === PAGES) wait()
  else {
    response.writeHead(200, {
      "content-type": "application/json",
      "stream-next-offset": `p${index + 1}`,
      "stream-up-to-date": "true",
    })
    response.end(page)
  }
}
