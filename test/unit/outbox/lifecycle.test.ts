import { describe, expect, it } from "vitest"
import type { OutboxStore } from "../../../src/outbox/index.ts"
import { memoryStore } from "../../support/memory-outbox-store.ts"
import { rejection } from "../../support/rejection.ts"
import { accepted, staged } from "./outbox-server.ts"

const refused = (status: number) => new Response(null, { status })

describe("appends that are not awaited", () => {
  it("are delivered before detach() ends the opener", () =>
    staged(async (stage) => {
      const outbox = await stage.open()
      void outbox.append(1)
      await outbox.detach()
      expect(stage.posts.map(({ body }) => body)).toEqual(["[1]"])
    }))

  it("are delivered before close() closes the stream", () =>
    staged(async (stage) => {
      const outbox = await stage.open()
      void outbox.append(1)
      await outbox.close()
      expect(stage.posts).toMatchObject([{ body: "[1]", closes: true }])
      await outbox.detach()
    }))

  it("end with the opener: stored, or rejected", () =>
    staged(async (stage) => {
      const outbox = await stage.open()
      const appends = Promise.allSettled([1, 2].map((n) => outbox.append(n)))
      await outbox[Symbol.asyncDispose]()
      const isStored = (await appends).map(({ status }) => status === "fulfilled")
      const stored = [...stage.database.disk.messages.values()].map(({ bytes }) => String(bytes))
      expect(stored.length).toBe(isStored.filter(Boolean).length)
    }))
})

describe("an opener that has ended", () => {
  it("rejects every call, and leaves the store alone", () =>
    staged(async (stage) => {
      const store = memoryStore(stage.database)
      const calls: string[] = []
      const outbox = await stage.open({
        store: {
          transact: (name, program) => (calls.push("transact"), store.transact(name, program)),
          close: () => void calls.push("close"),
        },
      })
      await outbox.detach()
      expect(calls.filter((call) => call === "close").length).toBe(1)
      expect(calls.at(-1)).toBe("close")
      const late = [
        outbox.append(1),
        outbox.flush(),
        outbox.close(),
        outbox.resume(),
        outbox.undelivered(),
      ]
      for (const call of late) {
        expect(await rejection(call)).toMatchObject({ code: "ALREADY_CLOSED" })
      }
      await outbox.detach()
      expect(calls.at(-1)).toBe("close")
      await (await stage.open()).append(2)
    }))

  it("closes its store after the last transaction", () =>
    staged(async (stage) => {
      const store = memoryStore(stage.database)
      let open = 0
      let openAtClose: number | undefined
      const outbox = await stage.open({
        store: {
          async transact(name, program) {
            open++
            await stage.clock.sleep(1_000)
            return store.transact(name, program).finally(() => open--)
          },
          close: () => void (openAtClose = open),
        },
      })
      const undelivered = outbox.undelivered()
      await stage.clock.sleep(1)
      await outbox[Symbol.asyncDispose]()
      expect(openAtClose).toBe(0)
      await undelivered
    }))

  it.each<[string, Partial<OutboxStore>]>([
    ["rejects", { close: () => Promise.reject(new Error("close failed")) }],
    [
      "throws",
      {
        close: () => {
          throw new Error("close failed")
        },
      },
    ],
  ])("raises no unhandled rejection if its store's close() %s", (_, faulty) =>
    staged(async (stage) => {
      const controller = new AbortController()
      const store = { ...memoryStore(stage.database), ...faulty }
      const outbox = await stage.open({ store, signal: controller.signal })
      controller.abort()
      await stage.until(() => outbox.state === "detached")
      await outbox.detach()
      const other = stage.open({ store, contentType: "text/plain" })
      expect(await rejection(other)).toMatchObject({ code: "CONTENT_TYPE_MISMATCH" })
    }),
  )
})

describe("what the program knows", () => {
  it("counts what waits while the network is gone, also messages of transactions and other openers", () =>
    staged(async (stage) => {
      stage.reply = () => "lost"
      const [one, two] = [await stage.open(), await stage.open()]
      await one.append(1)
      await stage.until(() => one.state === "retrying")
      const transaction = await stage.database.begin()
      void one.append(2, { transaction })
      void one.append(3, { transaction })
      transaction.commit()
      await two.append(4)
      await stage.until(() => one.pendingCount === 4)
      expect(one.pendingBytes).toBeGreaterThanOrEqual(4)
      await one[Symbol.asyncDispose]()
      await two[Symbol.asyncDispose]()
    }))

  it("is every failure, though another opener has resumed after the first", () =>
    staged(async (stage) => {
      let isMissing = true
      stage.reply = ({ epoch, seq, body }) =>
        body.includes("2") ? refused(410) : isMissing ? refused(404) : accepted(epoch, seq)
      const slow = await stage.open({ pollIntervalMs: 60_000 })
      await slow.append(1)
      expect(await rejection(slow.flush())).toMatchObject({ code: "NOT_FOUND" })
      isMissing = false
      const quick = await stage.open({ pollIntervalMs: 100 })
      await quick.resume()
      await quick.flush()
      await quick.append(2)
      expect(await rejection(quick.flush())).toMatchObject({ code: "GONE" })
      await stage.clock.sleep(60_000)
      // What it knows is what `resume` decides about.
      expect(slow.error).toMatchObject({ code: "GONE" })
      await slow.resume({ skip: true })
      expect((await quick.undelivered()).messages).toEqual([])
      const failures = stage.events.filter(({ kind }) => kind === "failed")
      expect(failures.map((event) => "error" in event && event.error.code)).toContain("GONE")
      await slow.detach()
      await quick.detach()
    }))

  it("is a failure as soon as a call rejects with it", () =>
    staged(async (stage) => {
      stage.reply = () => refused(404)
      const idle = await stage.open({ pollIntervalMs: 60_000 })
      const failing = await stage.open({ pollIntervalMs: 100 })
      await failing.append(1)
      await stage.until(() => failing.state === "failed")
      const error = await rejection(idle.append(2))
      expect([idle.state, idle.error]).toEqual(["failed", error])
      await idle.detach()
      await failing.detach()
    }))

  it("is STORE_FAILED with the cause if a transaction of its own cannot take the message", () =>
    staged(async (stage) => {
      const cause = new Error("no such table")
      for (const join of [
        () => {
          throw cause
        },
        () => Promise.reject(cause),
      ]) {
        const outbox = await stage.open({ store: { ...memoryStore(stage.database), join } })
        const append = async () => outbox.append(1, { transaction: {} })
        const message = "Outbox default: its store failed: no such table"
        expect(await rejection(append())).toMatchObject({ code: "STORE_FAILED", message, cause })
        await outbox.detach()
      }
    }))
})
