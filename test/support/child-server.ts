import { type ChildProcess } from "node:child_process"
import { once } from "node:events"
import { createServer, type AddressInfo } from "node:net"

/** A port of this machine that nothing listens on. */
export async function freePort(): Promise<string> {
  const server = createServer().listen(0, "127.0.0.1")
  await once(server, "listening")
  // It listens on TCP.
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, "close")
  return String(port)
}

/** Resolves when a process has printed something; its output is read on, so that it never waits for a reader. */
export function untilPrinted(server: ChildProcess, text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    let printed = ""
    server.once("exit", () => reject(new Error(`The server ended: ${printed}`)))
    for (const output of [server.stdout, server.stderr]) {
      output?.on("data", (chunk: Buffer) => {
        printed += String(chunk)
        if (printed.includes(text)) resolve()
      })
    }
  })
}
