import { spawn, type ChildProcess } from "node:child_process"
import { once } from "node:events"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { build } from "esbuild"
import { afterAll, beforeAll, describe, expect, inject, it, onTestFinished } from "vitest"
import { DurableStream, stream } from "../../src/index.ts"
import { runKilledImporter } from "../support/killed-importer.ts"
import { startReferenceServer, type ReferenceServer } from "../support/reference-server.ts"
import { postgresBinaries, startPostgres, type PostgresServer } from "./postgres.ts"
import { hasSqlite, openDatabase, testFolder } from "./sqlite.ts"

let server: ReferenceServer
beforeAll(async () => {
  server = await startReferenceServer()
})
afterAll(() => server.stop())

async function bundle(folder: string): Promise<string> {
  const outfile = join(folder, "process.cjs")
  const entryPoints = [join(import.meta.dirname, "outbox-process.ts")]
  await build({
    entryPoints,
    outfile,
    bundle: true,
    format: "cjs",
    platform: "node",
    external: ["pg-native"],
    logLevel: "error",
  })
  return outfile
}

function start(program: string, ...args: string[]): ChildProcess {
  const child = spawn(process.execPath, [program, ...args], {
    stdio: ["ignore", "inherit", "inherit"],
  })
  onTestFinished(() => void child.kill("SIGKILL"))
  return child
}

async function newStream(name: string): Promise<string> {
  const url = server.streamUrl(name)
  await DurableStream.create({ url, contentType: "application/json" })
  return url
}

const logOf = async <T>(url: string) => (await stream<T>({ url, live: false })).json()

describe.skipIf(!hasSqlite)("an importer with an outbox in SQLite", () => {
  const ROWS = 1_000
  const KILLS = 20

  it(
    `stores ${ROWS} rows once and in order, killed ${KILLS} times with SIGKILL`,
    { timeout: 300_000 },
    async () => {
      const folder = await testFolder()
      const program = await bundle(folder)
      const file = join(folder, "rows.db")
      openDatabase(file).pragma("journal_mode = WAL")
      const seed = Number(process.env["SEED"] ?? Date.now() % 100_000)
      const { signals, ids } = await runKilledImporter(KILLS, seed, (url) =>
        start(program, "importRows", url, file, inject("betterSqlite3"), String(ROWS)),
      )
      expect(signals, `seed ${seed}`).toEqual([
        ...Array.from({ length: KILLS }, () => "SIGKILL"),
        null,
      ])
      expect(ids, `seed ${seed}`).toEqual(Array.from({ length: ROWS }, (_, id) => id))
    },
  )
})

describe.skipIf(postgresBinaries === undefined)("two relays of an outbox in PostgreSQL", () => {
  let postgres: PostgresServer
  beforeAll(async () => {
    postgres = await startPostgres()
  }, 120_000)
  afterAll(() => postgres.stop())

  it(
    "deliver what is committed once and in order, and nothing else, while one after the other is killed",
    { timeout: 300_000 },
    async () => {
      const program = await bundle(await testFolder())
      const url = await newStream("relays")
      const relay = () => start(program, "relay", url, postgres.url)
      const relays = [relay(), relay()]
      const appender = start(program, "append", url, postgres.url)
      const exit = once(appender, "exit")
      let isOver = false
      void exit.then(() => (isOver = true))
      let kills = 0
      while (!isOver || kills < 10) {
        await sleep(500)
        const index = kills++ % 2
        relays[index]!.kill("SIGKILL")
        relays[index] = relay()
      }
      expect((await exit)[0]).toBe(0)
      const log = await logOf<{ n: number }>(url)
      expect(log.map(({ n }) => n)).toEqual(Array.from({ length: 300 }, (_, n) => n))
    },
  )
})
