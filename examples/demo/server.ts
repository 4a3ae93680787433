/** The server of the demo, a process of its own so that it can be killed: `server.ts <port> <folder>`. */
import { DurableStreamTestServer } from "@durable-streams/server"

const [port, dataDir = ""] = process.argv.slice(2)
const server = new DurableStreamTestServer({ port: Number(port), dataDir, longPollTimeout: 2_000 })
process.send?.(await server.start())
