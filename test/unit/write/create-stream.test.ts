import { describe, expect, it } from "vitest"
import { createHeaders, splitCreateHeaders } from "../../../src/write/create-stream.ts"

describe("the headers of a create", () => {
  it("say what is asked for", () => {
    expect(createHeaders({})).toEqual({})
    expect(createHeaders({ closed: false })).toEqual({})
    expect(createHeaders({ ttlSeconds: 2 ** 40, closed: true })).toEqual({
      "Stream-TTL": "1099511627776",
      "Stream-Closed": "true",
    })
    const expiresAt = "2026-01-01T00:00:01+00:00"
    expect(createHeaders({ expiresAt })).toEqual({ "Stream-Expires-At": expiresAt })
  })

  it("are told from the others whatever their case", () => {
    const headers = { "STREAM-TTL": "1", "stream-closed": "true", "Stream-Seq": "1", a: "b" }
    expect(splitCreateHeaders(headers)).toEqual({
      createOnly: { "STREAM-TTL": "1", "stream-closed": "true" },
      others: { "Stream-Seq": "1", a: "b" },
    })
  })
})
