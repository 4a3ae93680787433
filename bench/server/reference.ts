import { DurableStreamTestServer } from "@durable-streams/server"

/** The reference server, in a process of its own. */
const server = new DurableStreamTestServer({ port: 0, host: "127.0.0.1" })
process.send?.(await server.start())
process.on("disconnect", () => process.exit(0))
