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
  // The one message that a server sends is its URL.
  const [url] = (await once(child, "message")) as [string]
  return { url, stop: () => end(child) }
}

/** How long one run may take. */
const RUN_TIMEOUT_MS = 120_000

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
  }
  const child = fork(files.worker, [JSON.stringify(order)], {
    execArgv: ["--expose-gc", "--no-warnings"],
    stdio: ["ignore", "ignore", "ignore", "ipc"],
  })
  const timer = setTimeout(() => child.kill("SIGKILL"), RUN_TIMEOUT_MS)
  try {
    return await Promise.race([reportOf(child), death(child)])
  } finally {
    clearTimeout(timer)
    await end(child)
  }
}

async function reportOf(child: ChildProcess): Promise<WorkerReport> {
  const [report] = (await once(child, "message")) as [WorkerReport]
  return report
}

async function death(child: ChildProcess): Promise<WorkerReport> {
  const [code, signal] = (await once(child, "exit")) as [number | null, string | null]
  const reason =
    signal === "SIGKILL" ? `no end within ${RUN_TIMEOUT_MS / 1000} s` : `exit ${code ?? signal}`
  return { kind: "failed", reason }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  child.kill("SIGKILL")
  await once(child, "exit")
}
