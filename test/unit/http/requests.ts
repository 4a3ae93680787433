import type { StreamRequest } from "../../../src/http/request.ts"

/** A read. */
export const get: StreamRequest = { method: "GET", operation: "read", retry: "idempotent" }

/** A plain append. */
export const post: StreamRequest = {
  method: "POST",
  operation: "append",
  retry: "not-processed",
  body: "x",
}
