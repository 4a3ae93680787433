import {
  errorResponse,
  type ModelResponse,
  type ModelRequest,
} from "../../support/model-server/messages.ts"
import { readProducerHeaders } from "../../support/model-server/producers.ts"
import { ModelServer } from "../../support/model-server/server.ts"

/** What a message holds that a {@link RejectingServer} does not take. */
export const POISON = "poison"

/** A model server that refuses bodies for their size (413) or for what is in them (400). */
export class RejectingServer extends ModelServer {
  maxBodyBytes = Number.POSITIVE_INFINITY

  override async handle(request: ModelRequest): Promise<ModelResponse> {
    if (request.method !== "POST") return super.handle(request)
    // What stands in front of a server looks at the size first; what a server takes in, it looks into last.
    if (request.body.byteLength > this.maxBodyBytes) return errorResponse(413, "Too large")
    const tuple = readProducerHeaders(request.headers)
    const stream = this.findStream(request.url.pathname)
    const isNew = typeof tuple === "object" && stream?.producers.judge(tuple).kind === "accepted"
    if (isNew && !stream.closed && new TextDecoder().decode(request.body).includes(POISON)) {
      return errorResponse(400, "I do not like this")
    }
    return super.handle(request)
  }
}
