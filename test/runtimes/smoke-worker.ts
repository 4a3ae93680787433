import * as client from "@durable-streams/client"
import * as subscriptions from "@durable-streams/client/subscriptions"
import { runSmokeCases } from "./smoke-cases.ts"

/** The program of an edge runtime: the url of the stream server comes with the request, the results are the response. */
export default {
  async fetch(request: Request): Promise<Response> {
    const server = new URL(request.url).searchParams.get("server") ?? ""
    return Response.json(await runSmokeCases(client, server, subscriptions))
  },
}
