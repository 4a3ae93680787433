import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { DurableStream, stream, type StreamErrorHandler } from "../../src/index.ts"
import { startReferenceServer, type ReferenceServer } from "../support/reference-server.ts"
import { quick } from "./reading-support.ts"

let server: ReferenceServer
beforeAll(async () => {
  server = await startReferenceServer({ longPollTimeout: 300 })
})
afterAll(() => server.stop())

const contentType = "application/json"

describe("the recipe for a view of a stream that is deleted and created again", () => {
  it.each(["sse", "long-poll"] as const)(
    "rebuilds the view while it is read by %s",
    async (live) => {
      const url = server.streamUrl()
      const handle = await DurableStream.create({ url, contentType, body: [1, 2] })
      const recreated = { count: 0 }
      const onError: StreamErrorHandler = async ({ code }) => {
        if (code !== "GONE" && code !== "NOT_FOUND") return undefined
        if (recreated.count++ === 0) {
          await DurableStream.create({ url, contentType, body: [7, 8] })
        }
        return { offset: "-1" }
      }
      const response = await stream<number>({ ...quick, url, live, onError })
      let view = { numbers: [] as number[], offset: "-1" }
      const shown: number[][] = []
      for await (const { items, offset, upToDate, restarted } of response.jsonBatches()) {
        view = { numbers: [...(restarted ? [] : view.numbers), ...items], offset }
        if (items.length === 0 || !upToDate) continue
        shown.push(view.numbers)
        if (view.numbers.includes(2)) await handle.delete()
        else if (view.numbers.includes(9)) break
        else await handle.append(9)
      }
      expect(shown.at(0)).toEqual([1, 2])
      expect(shown.at(-1)).toEqual([7, 8, 9])
      // Property 2: the view and a fresh read from its offset are the whole stream.
      await handle.append(10)
      const rest = await stream<number>({ ...quick, url, offset: view.offset, live: false })
      expect([...view.numbers, ...(await rest.json())]).toEqual([7, 8, 9, 10])
    },
    60_000,
  )
})
