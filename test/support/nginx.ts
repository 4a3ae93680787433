import { execFileSync, spawn, type ChildProcess } from "node:child_process"
import { once } from "node:events"
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { createServer, type AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"

/** Whether this machine has nginx. */
export function hasNginx(): boolean {
  try {
    execFileSync("nginx", ["-v"], { stdio: "ignore" })
    return true
  } catch {
    return false
  }
}

/** For `startNginx`: one entry for each URL; whoever asks for one that is on its way waits for it. */
export const COLLAPSING = `
  proxy_cache streams;
  proxy_cache_key $request_uri;
  proxy_cache_valid 200 204 1m;
  proxy_cache_lock on;
  proxy_cache_lock_timeout 60s;
`

/** nginx in front of one origin, on loopback, with a folder of its own. */
export interface Nginx {
  readonly url: string
  /** How many requests went on to the origin, as nginx counts them, by cache status. */
  upstreamRequests(): Promise<Record<string, number>>
  /** Stops it, as a deploy does; `start` brings it back on the same port. */
  stop(): Promise<void>
  start(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

/**
 * Starts nginx.
 *
 * @param origin - what it stands in front of
 * @param location - directives for its one location
 */
export async function startNginx(origin: string, location: string): Promise<Nginx> {
  const folder = await mkdtemp(join(tmpdir(), "nginx-test-"))
  const port = await freePort()
  const log = join(folder, "access.log")
  await writeFile(join(folder, "nginx.conf"), configuration(folder, port, origin, location))
  await writeFile(log, "")
  let running: ChildProcess | undefined
  const stop = async () => {
    const stopping = running
    running = undefined
    if (stopping === undefined) return
    const exited = once(stopping, "exit")
    stopping.kill("SIGTERM")
    await exited
  }
  const start = async () => {
    running = spawn("nginx", ["-p", folder, "-c", join(folder, "nginx.conf")], { stdio: "ignore" })
    await isAlive(`http://127.0.0.1:${port}/-/alive`)
  }
  await start()
  return {
    url: `http://127.0.0.1:${port}`,
    start,
    stop,
    async upstreamRequests() {
      const counts: Record<string, number> = {}
      for (const line of (await readFile(log, "utf8")).split("\n")) {
        const [status] = line.split(" ")
        if (status) counts[status] = (counts[status] ?? 0) + 1
      }
      return counts
    },
    async [Symbol.asyncDispose]() {
      await stop()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

function configuration(folder: string, port: number, origin: string, location: string): string {
  return `
    daemon off;
    master_process off;
    pid ${folder}/nginx.pid;
    error_log ${folder}/error.log;
    events { worker_connections 8192; }
    http {
      log_format upstream "$upstream_cache_status $status $request_uri";
      client_body_temp_path ${folder}/body;
      proxy_temp_path ${folder}/proxy;
      fastcgi_temp_path ${folder}/fastcgi;
      uwsgi_temp_path ${folder}/uwsgi;
      scgi_temp_path ${folder}/scgi;
      proxy_cache_path ${folder}/cache keys_zone=streams:1m;
      server {
        listen 127.0.0.1:${port} backlog=4096;
        location = /-/alive { access_log off; return 204; }
        location / {
          access_log ${folder}/access.log upstream;
          proxy_pass ${origin};
          proxy_http_version 1.1;
          proxy_set_header Connection "";
          proxy_read_timeout 120s;
          ${location}
        }
      }
    }
  `
}

async function isAlive(url: string): Promise<void> {
  for (;;) {
    const response = await fetch(url).catch(() => undefined)
    if (response?.status === 204) return
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1")
  await once(server, "listening")
  // A TCP server's address is no string.
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, "close")
  return port
}
