import { describe, expect, it } from "vitest"
import { runInVirtualTime } from "../../support/virtual-time.ts"
import { PostDesk, settled } from "./post-desk.ts"

async function isPending(promise: Promise<unknown>): Promise<boolean> {
  const pending = Symbol("pending")
  await settled()
  return (await Promise.race([promise, Promise.resolve(pending)])) === pending
}

describe("backpressure", () => {
  it("holds ready back while more than highWaterMarkBytes are not acknowledged", async () => {
    const desk = new PostDesk()
    const producer = desk.producer({ highWaterMarkBytes: 3, maxBatchBytes: 2, maxInFlight: 1 })
    for (const message of ["ab", "c"]) producer.append(message)
    expect(await isPending(producer.ready)).toBe(false)
    producer.append("é")
    const { ready } = producer
    expect(producer.ready).toBe(ready)
    expect(producer.bufferedBytes).toBe(5)
    expect(await isPending(ready)).toBe(true)
    ;(await desk.post(0)).accept()
    await ready
    expect(producer.bufferedBytes).toBe(3)
  })

  it("does not let those linger who wait for room", async () => {
    const desk = new PostDesk()
    const report = await runInVirtualTime({}, async () => {
      const producer = desk.producer({ highWaterMarkBytes: 1, lingerMs: 5000 })
      producer.append("ab")
      const { ready } = producer
      ;(await desk.post(0)).accept()
      await ready
    })
    expect(report.elapsedMs).toBe(0)
  })

  it("costs no promise a message while there is room", () => {
    const producer = new PostDesk().producer()
    expect(producer.ready).toBe(producer.ready)
  })

  it("throws BUFFER_FULL at maxBufferedBytes and queues nothing, then takes it once there is room", async () => {
    const desk = new PostDesk()
    desk.reply = (post) => post.accept()
    await runInVirtualTime({}, async () => {
      const producer = desk.producer({ maxBufferedBytes: 5 })
      producer.append("abc")
      expect(() => {
        producer.append("éé")
      }).not.toThrow(RangeError)
      expect(producer.bufferedBytes).toBe(3)
      await expect(producer.send("def")).rejects.toMatchObject({ code: "BUFFER_FULL" })
      producer.append("é")
      expect(producer.bufferedBytes).toBe(5)
      await producer.flush()
      producer.append("def")
      await producer.flush()
    })
    expect(desk.posts.map(({ body }) => body)).toEqual(["abcé", "def"])
  })

  it.each([
    [undefined, ["12345", "12345678"]],
    [8, ["1234567", "1234567"]],
    [Infinity, ["1234567", "1234567", "1234567"]],
  ])(
    "keeps ready pending after BUFFER_FULL until the message fits (highWaterMarkBytes %s)",
    async (highWaterMarkBytes, messages) => {
      const desk = new PostDesk()
      const producer = desk.producer({
        maxBufferedBytes: 10,
        ...(highWaterMarkBytes !== undefined && { highWaterMarkBytes }),
      })
      producer.append(messages[0])
      for (const [index, message] of messages.slice(1).entries()) {
        await expect(producer.send(message)).rejects.toMatchObject({ code: "BUFFER_FULL" })
        const { ready } = producer
        expect(await isPending(ready)).toBe(true)
        ;(await desk.post(index)).accept()
        await ready
        producer.append(message)
      }
    },
  )

  it("frees ready once a smaller message was taken in place of the refused one", async () => {
    const producer = new PostDesk().producer({ maxBufferedBytes: 10, highWaterMarkBytes: 10 })
    producer.append("12345")
    await expect(producer.send("123456")).rejects.toMatchObject({ code: "BUFFER_FULL" })
    producer.append("1")
    expect(await isPending(producer.ready)).toBe(false)
  })

  it("does not wait for room for a message that never fits", async () => {
    const desk = new PostDesk()
    desk.reply = (post) => post.accept()
    const producer = desk.producer({ maxBufferedBytes: 10 })
    producer.append("1")
    await expect(producer.send("12345678901")).rejects.toMatchObject({ code: "BUFFER_FULL" })
    await producer.ready
    expect(producer.bufferedBytes).toBe(0)
    await expect(producer.send("12345678901")).rejects.toThrow("larger than maxBufferedBytes")
    await producer.ready
  })

  it("lets a loop that awaits ready run within half of maxBufferedBytes", async () => {
    const desk = new PostDesk()
    desk.reply = (post) => post.accept()
    let most = 0
    await runInVirtualTime({}, async () => {
      const producer = desk.producer({ maxBufferedBytes: 100, maxBatchBytes: 10 })
      for (let count = 0; count < 200; count++) {
        await producer.ready
        producer.append("1234567")
        most = Math.max(most, producer.bufferedBytes)
      }
      await producer.flush()
    })
    expect(most).toBeLessThanOrEqual(57)
    expect(desk.posts).toHaveLength(200)
  })
})
