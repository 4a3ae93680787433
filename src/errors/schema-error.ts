import { decodeUtf8Strictly } from "../platform/text.ts"
import { encodeMessage, takeSnapshot, type MessageContent } from "../protocol/message.ts"
import { describeUrl } from "../protocol/request-url.ts"
import {
  validate,
  type SchemaIssue,
  type SchemaResult,
  type StandardSchemaV1,
} from "../protocol/standard-schema.ts"
import { DurableStreamError } from "./durable-stream-error.ts"
import { checkMessage } from "./invalid-message-error.ts"

/** The details of a `SCHEMA` error. */
export interface SchemaErrorDetails {
  /** A read from here delivers the message. Undefined if it was not sent. */
  readonly offset?: string | undefined
  /** Which of the messages behind the offset it is, or which of the body's; from 0. */
  readonly index: number
  /** What the schema said. */
  readonly issues: readonly SchemaIssue[]
  /** The message. */
  readonly value: unknown
}

/** The error for a message that a schema rejects. */
export function schemaError(url: string, details: SchemaErrorDetails): DurableStreamError {
  const { offset, index, issues } = details
  const [issue] = issues
  const path = issue?.path?.map((step) => (typeof step === "object" ? step.key : step))
  const where = offset === undefined ? "for" : `behind offset ${offset} of`
  return new DurableStreamError(
    `Message ${index} ${where} ${describeUrl(url)} does not match the schema: ${issue?.message}` +
      `${path?.length ? `, at ${path.join(".")}` : ""}.`,
    "SCHEMA",
    undefined,
    details,
  )
}

/**
 * A message that matches a schema, as it is sent: as the caller gave it. It is validated as readers get it, after its way
 * through JSON, so that whatever is written can be read with the same schema.
 *
 * @param hasMany - whether the server makes a message of each element of an array
 * @returns a promise only if the schema does
 * @throws DurableStreamError `SCHEMA`; `PARSE_ERROR` or `BAD_REQUEST` if it is no JSON message
 */
export function matchingMessage(
  schema: StandardSchemaV1,
  url: string,
  body: unknown,
  hasMany = false,
): MessageContent | Promise<MessageContent> {
  const encoded = encodeMessage(takeSnapshot(body), "application/json")
  const content = checkMessage(encoded, describeUrl(url))
  const value: unknown = JSON.parse(
    typeof content === "string" ? content : decodeUtf8Strictly(content),
  )
  const values: readonly unknown[] = hasMany && Array.isArray(value) ? value : [value]
  const settle = (results: readonly SchemaResult<unknown>[]) => {
    for (const [index, { issues }] of results.entries()) {
      if (issues !== undefined) throw schemaError(url, { index, issues, value: values[index] })
    }
    return content
  }
  const results = values.map((one) => validate(schema, one))
  if (results.some((one) => "then" in one))
    return Promise.all(results.map(async (one) => one)).then(settle)
  // None of them is a promise.
  return settle(results as SchemaResult<unknown>[])
}
