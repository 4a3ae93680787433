import { DurableStream, IdempotentProducer, stream } from "../../src/index.ts"

/**
 * A program that writes the numbers up to `count`, and may be killed at any time: started again with a higher epoch it goes
 * on where the log ends. Arguments: url, epoch, count.
 */
const [url = "", epoch = "0", count = "0"] = process.argv.slice(2)

const handle = await DurableStream.connect({ url })
const producer = new IdempotentProducer(handle, "process", {
  epoch: Number(epoch),
  maxBatchBytes: 64,
  lingerMs: 0,
  backoffOptions: { initialDelay: 1, maxDelay: 20 },
})
// From here on nothing of an earlier life is stored any more: what the log holds now is all there is.
await producer.send({ life: epoch })
const log = await (await stream<{ id?: number }>({ url, live: false })).json()
const stored = log.filter(({ id }) => id !== undefined).length
console.log(`begins at ${stored}`)
for (let id = stored; id < Number(count); id++) {
  await producer.ready
  producer.append({ id })
  // Whoever kills this process sees how far it is.
  if (id % 20 === 0) await new Promise((resolve) => setImmediate(resolve))
}
await producer.close()
console.log("done")
