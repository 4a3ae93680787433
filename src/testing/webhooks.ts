import { encodeUtf8 } from "../platform/text.ts"
import type { ModelClock } from "./messages.ts"
import { WEBHOOK_KEY_ID, type ModelWake, type SubscriptionModelServer } from "./subscriptions.ts"
import { isFields } from "./subscription-config.ts"

const MAX_RETRY_DELAY_MS = 60_000

/** Sends the wakes of webhook subscriptions, signed, until each got a 2xx or is over. */
export class WebhookSender {
  readonly #clock: ModelClock
  readonly #receive: (request: Request) => Response | Promise<Response>
  #keys: Promise<CryptoKeyPair> | undefined

  constructor(clock: ModelClock, receive: (request: Request) => Response | Promise<Response>) {
    this.#clock = clock
    this.#receive = receive
  }

  /** The keys that `jwks.json` publishes. */
  async jwks(): Promise<unknown> {
    const { publicKey } = await this.#keyPair()
    const { kty, crv, x } = await crypto.subtle.exportKey("jwk", publicKey)
    return { keys: [{ kty, crv, x, kid: WEBHOOK_KEY_ID, use: "sig", alg: "EdDSA" }] }
  }

  /** Sends a wake until it is received or its lease is over. */
  async send(server: SubscriptionModelServer, wake: ModelWake, url: string): Promise<void> {
    const { subscription_id: id, generation } = wake
    for (let delayMs = 1000; ; delayMs = Math.min(delayMs * 2, MAX_RETRY_DELAY_MS)) {
      const done = await this.#post(url, JSON.stringify(wake)).catch(() => undefined)
      if (done === true) server.finishWake(id)
      if (done !== undefined) return
      await new Promise<void>((resolve) => void this.#clock.after(delayMs, resolve))
      if (!server.isHeld(id, generation)) return
    }
  }

  /** @returns whether the receiver is done; undefined if it did not respond with a 2xx */
  async #post(url: string, body: string): Promise<boolean | undefined> {
    const seconds = Math.floor(this.#clock.now() / 1000)
    const { privateKey } = await this.#keyPair()
    // A copy with a buffer of its own, as WebCrypto's types want it.
    const signed = new Uint8Array(encodeUtf8(`${seconds}.${body}`))
    const signature = new Uint8Array(await crypto.subtle.sign("Ed25519", privateKey, signed))
    const base64 = btoa(String.fromCharCode(...signature))
    const base64Url = base64.replace(/\+/g, "-").replace(/\//g, "_").replace(/=/g, "")
    const headers = {
      "content-type": "application/json",
      "webhook-signature": `t=${seconds},kid=${WEBHOOK_KEY_ID},ed25519=${base64Url}`,
    }
    const response = await this.#receive(new Request(url, { method: "POST", headers, body }))
    if (!response.ok) return undefined
    const result: unknown = await response.json().catch(() => undefined)
    return isFields(result) && result["done"] === true
  }

  #keyPair(): Promise<CryptoKeyPair> {
    return (this.#keys ??= crypto.subtle.generateKey("Ed25519", true, ["sign", "verify"]))
  }
}
