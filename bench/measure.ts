import { fork, type ChildProcess } from "node:child_process"
import { once } from "node:events"
import type { BuiltFiles } from "./build.ts"
import type { BenchCase, Contender } from "./case.ts"
import type { WorkerOrder, WorkerReport } from "./worker.ts"

/** A server in a process of its own. */
export interface BenchServer {
  readonly url: string
  stop(): Promise<void>
}

/** Starts the server that a case is measured against. */
export async function startServer(benchCase: BenchCase, files: BuiltFiles): Promise<BenchServer> {
  const program = benchCase.server === "reference" ? files.referenceServer : files.minimalServer
  const child = fork(program, { stdio: ["ignore", "ignore", "inherit", "ipc"] })
  const died = once(child, "exit").then(([code]) => {
    throw new Error(`the server ended with ${code} before it listened`)
  })
  // The one message that a server sends is its URL.
  const [url] = (await Promise.race([once(child, "message"), died])) as [string]
  return { url, stop: () => end(child) }
}

/** How long one run may take. */
const RUN_TIMEOUT_MS = 180_000

/** Runs one case for one contender in a process of its own. */
export async function measure(
  benchCase: BenchCase,
  contender: Contender,
  serverUrl: string,
  scale: number,
  files: BuiltFiles,
): Promise<WorkerReport> {
  const order: WorkerOrder = {
    name: benchCase.name,
    contender,
    serverUrl,
    scale,
    entries: files.entries,
    pageScripts: files.pageScripts,
  }
  const child = fork(files.worker, [JSON.stringify(order)], {
    execArgv: ["--expose-gc", "--no-warnings"],
    stdio: ["ignore", "ignore", "pipe", "ipc"],
  })
  let complaint = ""
  child.stderr?.setEncoding("utf8").on("data", (text: string) => (complaint += text))
  const timer = setTimeout(() => child.kill("SIGKILL"), RUN_TIMEOUT_MS)
  try {
    return await Promise.race([reportOf(child), death(child, () => complaint)])
  } finally {
    clearTimeout(timer)
    await end(child)
  }
}

async function reportOf(child: ChildProcess): Promise<WorkerReport> {
  const [report] = (await once(child, "message")) as [WorkerReport]
  return report
}

async function death(child: ChildProcess, complaint: () => string): Promise<WorkerReport> {
  // "close" comes when what it wrote has been read, too.
  const [code, signal] = (await once(child, "close")) as [number | null, string | null]
  if (signal === "SIGKILL")
    return { kind: "failed", reason: `no end within ${RUN_TIMEOUT_MS / 1000} s` }
  const error = complaint()
    .split("\n")
    .find((line) => line.includes("rror"))
  return { kind: "failed", reason: error ?? `exit ${code ?? signal}` }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  child.kill("SIGKILL")
  await once(child, "exit")
}
