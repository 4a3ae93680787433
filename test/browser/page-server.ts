import { startTrackedHttpServer, type TrackedHttpServer } from "../support/tracked-http-server.ts"

const PAGE = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<link rel="icon" href="data:,">
<title>test page</title>
<script src="/page.js"></script>
</html>
`

/** Serves the test page: on a port of its own, so that every stream server is of another origin. */
export function startPageServer(script: string, workerScript = ""): Promise<TrackedHttpServer> {
  return startTrackedHttpServer(({ url }, response) => {
    if (url === "/page.js" || url === "/worker.js") {
      response
        .writeHead(200, { "content-type": "text/javascript; charset=utf-8" })
        .end(url === "/page.js" ? script : workerScript)
    } else {
      response.writeHead(200, { "content-type": "text/html; charset=utf-8" }).end(PAGE)
    }
  })
}
