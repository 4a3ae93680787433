import { DurableStreamError } from "../errors/durable-stream-error.ts"
import type { SubscriptionErrorCode } from "../errors/error-code.ts"
import { isJsonObject } from "./subscription.ts"

/**
 * A request about a subscription that failed, or a claim that ended. `code` says what happened; a failure of the network
 * is a `FetchError` as everywhere.
 */
export class SubscriptionError extends DurableStreamError {
  override name = "SubscriptionError"
  /** The code in the body of the server's response, if it has one. */
  serverCode?: string

  /**
   * @param message - what happened, to which subscription, and what to do
   * @param code - the same for programs
   * @param status - the HTTP status, if the server responded
   * @param serverCode - the code in the body of its response
   */
  constructor(
    message: string,
    code: SubscriptionErrorCode | "BAD_REQUEST" | "UNAUTHORIZED",
    status?: number,
    serverCode?: string,
  ) {
    super(message, code, status)
    if (serverCode !== undefined) this.serverCode = serverCode
  }
}

/** The `error` in the body of a response. */
export interface ServerError {
  readonly code: string
  readonly message: string
  /** What else the server says: `current_holder`, `generation`. */
  readonly fields: Readonly<Record<string, unknown>>
}

/** The server's error in a body; undefined if the body is not one of this protocol. */
export function serverErrorIn(json: unknown): ServerError | undefined {
  const fields = isJsonObject(json) ? json["error"] : undefined
  if (!isJsonObject(fields) || typeof fields["code"] !== "string") return undefined
  const { code, message } = fields
  return { code, message: typeof message === "string" ? message : "", fields }
}

const codes: Readonly<Record<string, SubscriptionErrorCode>> = {
  SUBSCRIPTION_ALREADY_EXISTS: "SUBSCRIPTION_EXISTS",
  SUBSCRIPTION_NOT_FOUND: "SUBSCRIPTION_NOT_FOUND",
  FENCED: "FENCED",
  INVALID_OFFSET: "INVALID_OFFSET",
  TOKEN_INVALID: "TOKEN_INVALID",
  TOKEN_EXPIRED: "TOKEN_EXPIRED",
  WEBHOOK_URL_REJECTED: "WEBHOOK_URL_REJECTED",
}

/** A server can say anything. */
const MAX_SHOWN_CHARS = 200

/**
 * The error of a response of the server.
 *
 * @param subject - the subscription, as the message shows it
 */
export function errorOfServer(
  subject: string,
  status: number,
  { code: serverCode, message }: ServerError,
): SubscriptionError {
  const code = codes[serverCode] ?? (status === 401 ? "UNAUTHORIZED" : "BAD_REQUEST")
  const reason = message === "" ? "" : `: ${message.slice(0, MAX_SHOWN_CHARS)}`
  return new SubscriptionError(
    `${subject}: the server responded ${status} ${serverCode.slice(0, MAX_SHOWN_CHARS)}${reason}`,
    code,
    status,
    serverCode,
  )
}

/** The error of a response that no server of subscriptions gives. */
export function notSupported(subject: string, status: number, hint = ""): SubscriptionError {
  return new SubscriptionError(
    `${subject}: the response (status ${status}) is not that of a server with subscriptions. Check root.${hint}`,
    "SUBSCRIPTIONS_NOT_SUPPORTED",
    status,
  )
}
