import process from "node:process"
import * as client from "@durable-streams/client"
import * as subscriptions from "@durable-streams/client/subscriptions"
import { runSmokeCases } from "./smoke-cases.ts"

/** The program of the runtimes that have Node's `process`: prints what became of the cases and ends by itself. */
const results = await runSmokeCases(client, process.argv[2] ?? "", subscriptions)
process.stdout.write(JSON.stringify(results))
