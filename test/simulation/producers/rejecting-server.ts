import {
  errorResponse,
  type ModelClock,
  type ModelRequest,
  type ModelResponse,
} from "../../../src/testing/messages.ts"
import { readProducerHeaders } from "../../../src/testing/producers.ts"
import { ModelServer } from "../../../src/testing/server.ts"
import type { RejectionRule } from "./scenario.ts"

/** What a message contains that a {@link RejectingServer} does not accept. */
export const POISON = "poison"

/** A model server that rejects bodies for their size (413), for their content (400), or by the rules of a firewall. */
export class RejectingServer extends ModelServer {
  readonly #clock: ModelClock & { readonly elapsedMs: number }
  maxBodyBytes = Number.POSITIVE_INFINITY
  rules: readonly RejectionRule[] = []

  constructor(clock: ModelClock & { readonly elapsedMs: number; readonly server: ModelClock }) {
    super(clock.server)
    this.#clock = clock
  }

  override async handle(request: ModelRequest): Promise<ModelResponse> {
    if (request.method !== "POST") return super.handle(request)
    const size = request.body.byteLength
    const now = this.#clock.elapsedMs
    const rule = this.rules.find(
      ({ fromMs, untilMs, minBytes }) => fromMs <= now && now < untilMs && size >= minBytes,
    )
    if (rule && size > 0) return errorResponse(rule.status, "Blocked by a rule")
    // A proxy in front of a server checks the size first; the server checks the content last.
    if (size > this.maxBodyBytes) return errorResponse(413, "Too large")
    const tuple = readProducerHeaders(request.headers)
    const stream = this.findStream(request.url.pathname)
    const isNew = typeof tuple === "object" && stream?.producers.judge(tuple).kind === "accepted"
    if (isNew && !stream.closed && new TextDecoder().decode(request.body).includes(POISON)) {
      return errorResponse(400, "The content is not accepted")
    }
    return super.handle(request)
  }
}
