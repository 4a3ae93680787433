import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { describe, expect, inject, it, onTestFinished } from "vitest"
import { DurableStream } from "../../src/index.ts"
import { Subscriptions } from "../../src/subscriptions/index.ts"
import { startSubscriptionServer } from "../support/subscription-server.ts"
import type { ReceiverReport } from "./receiver.ts"
import { runtimesIn, versionOf } from "./runtime.ts"

// Ed25519 is in the WebCrypto of Node from 20 on.
const runtimes = runtimesIn(inject("binariesFolder")).filter(({ name }) => name !== "Node.js 18")
const receivers = runtimes.flatMap((runtime) =>
  runtime.name === "workerd"
    ? [
        { runtime, name: "workerd" },
        { runtime, name: "workerd, with waitUntil", waits: "yes" },
      ]
    : [{ runtime, name: runtime.name }],
)

describe.each(receivers)("a webhook receiver in $name", ({ runtime, waits }) => {
  it("handles and ends what the server sends, and refuses everything else", async (test) => {
    test.skip((await versionOf(runtime)) === undefined, `${runtime.name} could not be installed`)
    const server = await startSubscriptionServer(["a", "slow", "lost"])
    onTestFinished(() => server[Symbol.asyncDispose]())
    const keys = await startKeyServer(server.root)
    onTestFinished(() => keys.stop())
    const settings = {
      root: server.root,
      subscription: "hooks",
      jwksUrl: keys.url,
      ...(waits && { waits }),
    }
    const receiver = await runtime.startReceiver(inject("smokeFolder"), settings)
    onTestFinished(() => receiver.stop())
    const url = `http://localhost:${receiver.port}/hook`
    const report = async () =>
      (await (await fetch(`http://localhost:${receiver.port}/report`)).json()) as ReceiverReport
    const post = async (signature: string | null, body: string) =>
      (
        await fetch(url, {
          method: "POST",
          headers: { "webhook-signature": signature ?? "" },
          body,
        })
      ).status

    // An unknown key leads to one request for keys, and no more for some time.
    const body = JSON.stringify({
      subscription_id: "hooks",
      wake_id: "w",
      generation: 1,
      callback_token: "t",
      streams: [],
    })
    for (let i = 0; i < 3; i++)
      expect(await post(await keys.sign(body, 0, "unknown"), body)).toBe(401)
    expect(keys.requests()).toBe(1)

    const subscriptions = new Subscriptions({ root: server.root })
    await subscriptions.create("hooks", {
      type: "webhook",
      pattern: "ev/*",
      webhook: { url },
      leaseTtlMs: 1_000,
    })
    const isAcked = async (name: string) => {
      const { streams } = await subscriptions.get("hooks")
      const head = await DurableStream.head({ url: server.streamUrl(`ev/${name}`) })
      const acked = streams.find(({ path }) => path === `ev/${name}`)?.ackedOffset
      return head.exists && head.offset === acked
    }

    // A delivery is handled and acknowledged.
    await server.append("ev/a", { n: 1 })
    await expect.poll(() => isAcked("a")).toBe(true)
    expect((await report()).handled).toEqual(["ev/a 1"])
    expect(keys.requests()).toBe(1)

    // What was changed, what is old, what has no signature.
    const delivery = (await report()).deliveries.at(-1)!
    expect(await post(delivery.signature, delivery.body.replace("hooks", "hookz"))).toBe(401)
    expect(await post(await keys.sign(body, 301), body)).toBe(401)
    expect(await post(await keys.sign(body, -310), body)).toBe(401)
    expect(await post(null, body)).toBe(401)

    // A replay of a wake that is over, and of one that is running.
    expect(await post(delivery.signature, delivery.body)).toBe(204)
    await server.append("ev/slow", { n: 2 })
    await expect.poll(async () => (await report()).begun).toContain("ev/slow")
    const running = (await report()).deliveries.at(-1)!
    expect(await post(running.signature, running.body)).toBe(204)
    await expect.poll(() => isAcked("slow")).toBe(true)
    expect((await report()).begun).toEqual(["ev/a", "ev/slow"])

    // A lease that expires at work: nothing more is acknowledged under it, and the next wake handles the batch.
    await server.append("ev/lost", { n: 3 })
    await expect.poll(() => isAcked("lost")).toBe(true)
    const { begun, handled } = await report()
    expect(begun).toEqual(["ev/a", "ev/slow", "ev/lost", "ev/lost"])
    expect(handled).toEqual(["ev/a 1", "ev/slow 2", "ev/lost 3"])
    expect(keys.requests()).toBe(1)
  })
})

/** Publishes the server's keys and one of its own, so that a test can sign what the server would not. */
async function startKeyServer(root: string) {
  const pair = await crypto.subtle.generateKey("Ed25519", true, ["sign", "verify"])
  const own = { ...(await crypto.subtle.exportKey("jwk", pair.publicKey)), kid: "own" }
  let requests = 0
  const server = createServer((_incoming, outgoing) => {
    requests++
    void (async () => {
      // The reference server has them.
      const { keys } = (await (await fetch(`${root}/__ds/jwks.json`)).json()) as { keys: object[] }
      outgoing.writeHead(200, { "content-type": "application/jwk-set+json" })
      outgoing.end(JSON.stringify({ keys: [...keys, own] }))
    })()
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  return {
    // It listens on a port.
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/keys`,
    requests: () => requests,
    async sign(body: string, ageSeconds: number, kid = "own"): Promise<string> {
      const time = Math.floor(Date.now() / 1000) - ageSeconds
      const data = new TextEncoder().encode(`${time}.${body}`)
      const signature = await crypto.subtle.sign("Ed25519", pair.privateKey, data)
      return `t=${time},kid=${kid},ed25519=${Buffer.from(signature).toString("base64url")}`
    },
    async stop(): Promise<void> {
      server.closeAllConnections()
      await new Promise<unknown>((resolve) => server.close(resolve))
    },
  }
}
