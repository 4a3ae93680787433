import { spawn } from "node:child_process"
import { once } from "node:events"
import { existsSync, readdirSync } from "node:fs"
import { chown, mkdtemp, rm } from "node:fs/promises"
import { createServer, type AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import pg from "pg"

const DEBIAN = "/usr/lib/postgresql"

/** The folder of PostgreSQL's programs; undefined if it is not installed, or if only root is here and it cannot be another user. */
export const postgresBinaries = findBinaries()

/** A PostgreSQL server of its own, on loopback, with a new database. */
export interface PostgresServer {
  readonly url: string
  /** Connections, of which a lost one does not end the test. */
  pool(options?: pg.PoolConfig): pg.Pool
  stop(): Promise<void>
}

/** Starts a server in a temporary folder. PostgreSQL refuses to run as root: then it runs as the owner of Debian's package. */
export async function startPostgres(): Promise<PostgresServer> {
  const folder = await mkdtemp(join(tmpdir(), "durable-streams-postgres-"))
  const user = await otherUser()
  if (user !== undefined) await chown(folder, user.uid, user.gid)
  const data = join(folder, "data")
  await run("initdb", ["-D", data, "-U", "test", "-A", "trust", "-E", "UTF8", "--no-sync"], user)
  const port = await freePort()
  const args = ["-D", data, "-h", "127.0.0.1", "-p", String(port), "-k", folder]
  const server = spawn(join(postgresBinaries!, "postgres"), args, {
    ...user,
    cwd: folder,
    stdio: "ignore",
  })
  const url = `postgres://test@127.0.0.1:${port}/postgres`
  const pools: pg.Pool[] = []
  const pool = (options: pg.PoolConfig = {}) => {
    const made = new pg.Pool({ connectionString: url, max: 5, ...options })
    made.on("error", () => undefined)
    pools.push(made)
    return made
  }
  const probe = pool()
  for (let tries = 0; ; tries++) {
    try {
      await probe.query("SELECT 1")
      break
    } catch (error) {
      if (tries > 200) throw error
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }
  return {
    url,
    pool,
    async stop() {
      await Promise.all(pools.map((it) => it.end()))
      const exit = once(server, "exit")
      server.kill("SIGINT")
      await exit
      await rm(folder, { recursive: true, force: true })
    },
  }
}

function findBinaries(): string | undefined {
  if (!existsSync(DEBIAN)) return undefined
  const versions = readdirSync(DEBIAN).sort((a, b) => Number(b) - Number(a))
  const folders = versions.map((version) => join(DEBIAN, version, "bin"))
  return folders.find((folder) => existsSync(join(folder, "initdb")))
}

async function otherUser(): Promise<{ uid: number; gid: number } | undefined> {
  if (process.getuid?.() !== 0) return undefined
  const id = async (flag: string) => Number(await output("id", [flag, "postgres"]))
  return { uid: await id("-u"), gid: await id("-g") }
}

async function output(program: string, args: string[]): Promise<string> {
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "inherit"] })
  let text = ""
  child.stdout.on("data", (chunk) => (text += String(chunk)))
  await once(child, "close")
  return text
}

async function run(program: string, args: string[], user: object | undefined): Promise<void> {
  const child = spawn(join(postgresBinaries!, program), args, {
    ...user,
    cwd: tmpdir(),
    stdio: ["ignore", "ignore", "inherit"],
  })
  const [code] = await once(child, "exit")
  if (code !== 0) throw new Error(`${program} exited with ${String(code)}`)
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1")
  await once(server, "listening")
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, "close")
  return port
}
