import { execFile, spawn } from "node:child_process"
import { existsSync } from "node:fs"
import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import { promisify } from "node:util"
import type { ReceiverSettings } from "./receiver.ts"
import type { SmokeResult } from "./smoke-cases.ts"

const run = promisify(execFile)

/** How long all cases together may take. */
const PROGRAM_TIMEOUT_MS = 90_000

/** A runtime that can run the smoke program. */
export interface Runtime {
  readonly name: string
  /** Its binary; it may be missing. */
  readonly binary: string
  /** Runs the program against a stream server. */
  run(smokeFolder: string, serverUrl: string): Promise<SmokeResult[]>
  /** Starts a receiver of webhooks. */
  startReceiver(smokeFolder: string, settings: ReceiverSettings): Promise<RunningReceiver>
  /** Loads the package by `require`; gives the types of its two ways in. Missing where there is no `require`. */
  loadsByRequire?(smokeFolder: string): Promise<string>
}

/** A server of a runtime. */
export interface RunningReceiver {
  readonly port: number
  stop(): Promise<void>
}

/** The runtimes of binaries/package.json. */
export function runtimesIn(binariesFolder: string): Runtime[] {
  const program = (name: string, path: string, ...args: string[]): Runtime => {
    const binary = join(binariesFolder, path)
    return {
      name,
      binary,
      run: (folder, serverUrl) => runProgram(binary, [...args, "smoke.mjs", serverUrl], folder),
      startReceiver(folder, { root, subscription, jwksUrl }) {
        const given = [...args, "receiver.mjs", root, subscription, jwksUrl]
        return startReceiver(binary, given, folder)
      },
      loadsByRequire: async (folder) => {
        await writeFile(join(folder, "required.cjs"), REQUIRE_PROGRAM)
        return (await run(binary, [...args, "required.cjs"], { cwd: folder })).stdout.trim()
      },
    }
  }
  const workerd = join(binariesFolder, "@cloudflare/workerd-linux-64/bin/workerd")
  return [
    ...[18, 20, 22, 24, 26].map((major) =>
      program(`Node.js ${major}`, `node-${major}/bin/node`, "--trace-uncaught"),
    ),
    program("Bun", "@oven/bun-linux-x64/bin/bun"),
    program("Deno", "@deno/linux-x64-glibc/deno", "run", "--allow-net", "--no-lock"),
    {
      name: "workerd",
      binary: workerd,
      run: (folder, serverUrl) => runWorker(workerd, folder, serverUrl),
      startReceiver: (folder, settings) =>
        startWorkerd(workerd, folder, "receiver-worker", { ...settings }),
    },
  ]
}

/** The version that a runtime gives itself, or undefined where its binary is missing or does not run on this machine. */
export async function versionOf({ binary }: Runtime): Promise<string | undefined> {
  if (!existsSync(binary)) return undefined
  const result = await run(binary, ["--version"]).catch(() => undefined)
  return result?.stdout.split("\n")[0]?.replace(/^(deno|workerd|v)\s*|\s*\(.*/g, "")
}

/** The program has to end by itself: what the client leaves behind would keep it alive. */
async function runProgram(binary: string, args: string[], cwd: string): Promise<SmokeResult[]> {
  const { stdout } = await run(binary, args, { cwd, timeout: PROGRAM_TIMEOUT_MS })
  // What smoke-main.ts prints.
  return JSON.parse(stdout) as SmokeResult[]
}

async function runWorker(
  binary: string,
  folder: string,
  serverUrl: string,
): Promise<SmokeResult[]> {
  const worker = await startWorkerd(binary, folder, "worker", {})
  try {
    const response = await fetch(
      `http://127.0.0.1:${worker.port}/?server=${encodeURIComponent(serverUrl)}`,
      { signal: AbortSignal.timeout(PROGRAM_TIMEOUT_MS) },
    )
    if (!response.ok)
      throw new Error(`workerd responded ${response.status}: ${await response.text()}`)
    // The response of smoke-worker.ts.
    return (await response.json()) as SmokeResult[]
  } finally {
    await worker.stop()
  }
}

/** Starts workerd with a module of the folder, and the variables that it gets. */
export async function startWorkerd(
  binary: string,
  folder: string,
  module: string,
  bindings: Readonly<Record<string, string>>,
): Promise<RunningReceiver> {
  const config = join(folder, `${module}.capnp`)
  await writeFile(config, workerConfig(module, bindings))
  // Descriptor 3 is where workerd tells the port that it was given.
  const worker = spawn(binary, ["serve", config, "--control-fd=3"], {
    stdio: ["ignore", "inherit", "inherit", "pipe"],
  })
  const exited = new Promise<void>((resolve) => worker.once("exit", () => resolve()))
  const stop = async () => {
    worker.kill()
    await exited
  }
  const port = await Promise.race([announcedPort(worker.stdio[3]), exited])
  if (port === undefined) throw new Error("workerd ended before it listened")
  return { port, stop }
}

/** The program prints the port on which it listens. */
async function startReceiver(
  binary: string,
  args: readonly string[],
  cwd: string,
): Promise<RunningReceiver> {
  const child = spawn(binary, args, { cwd, stdio: ["ignore", "pipe", "inherit"] })
  const exited = new Promise<void>((resolve) => child.once("exit", () => resolve()))
  const stop = async () => {
    child.kill()
    await exited
  }
  const printed = new Promise<number>((resolve) => {
    child.stdout.once("data", (chunk) => resolve(Number(String(chunk))))
  })
  const port = await Promise.race([printed, exited])
  if (port === undefined) throw new Error("the receiver ended before it listened")
  return { port, stop }
}

async function announcedPort(control: unknown): Promise<number> {
  let text = ""
  // A pipe that was asked for in `stdio`, which its type cannot tell from other kinds.
  for await (const chunk of control as AsyncIterable<Buffer>) {
    text += chunk.toString()
    for (const line of text.split("\n").slice(0, -1)) {
      // One JSON object a line, of which only this field is of interest.
      const { event, port } = JSON.parse(line) as { event: string; port?: number }
      if (event === "listen" && port !== undefined) return port
    }
  }
  throw new Error("workerd told no port")
}

const REQUIRE_PROGRAM = `const client = require("@durable-streams/client")
console.log(typeof client.stream + " " + typeof client.DurableStream)
`

function workerConfig(module: string, bindings: Readonly<Record<string, string>>): string {
  const texts = Object.entries(bindings).map(
    ([name, text]) => `(name = "${name}", text = ${JSON.stringify(text)})`,
  )
  return `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = (
      modules = [(name = "${module}", esModule = embed "${module}.mjs")],
      bindings = [${texts.join(", ")}],
      compatibilityDate = "2025-01-01",
      globalOutbound = "loopback",
    )),
    (name = "loopback", network = (allow = ["local", "private"])),
  ],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "main")],
);
`
}
