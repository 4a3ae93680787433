import { webhookHandler } from "../../../src/subscriptions/index.ts"
import type { ModelWake } from "../../../src/testing/subscriptions.ts"
import type { RunOptions } from "../simulation-failure.ts"
import { describeEvent, FleetRun, ID, ROOT, runFleet, type FleetProcess } from "./fleet.ts"

const RETRY_MS = [1_000, 60_000] as const
/** The server gives up waiting for a response. */
const RESPONSE_TIMEOUT_MS = 30_000
/** A receiver accepts signatures that are this far from its own clock. */
const MAX_AGE_MS = 300_000

/** One seeded run of webhook receivers behind a load balancer. Rejects if a property did not hold. */
export async function runWebhooks(seed: number, options: RunOptions = {}): Promise<void> {
  // Real cryptography takes real time. The receivers verify everything else; test/integration/webhooks has the signatures.
  const { subtle } = crypto
  const trusting = { importKey: async () => ({}), verify: async () => true }
  Object.defineProperty(crypto, "subtle", { value: trusting, configurable: true })
  try {
    await runFleet(seed, options, WebhookRun)
  } finally {
    Object.defineProperty(crypto, "subtle", { value: subtle, configurable: true })
  }
}

interface Receiver extends FleetProcess {
  readonly receive: (request: Request) => Promise<Response>
  /** Requests that have no response yet. */
  open: number
}

// The keys are cached by their URL for as long as a process lives; each receiver is a process.
let receivers = 0

class WebhookRun extends FleetRun<Receiver> {
  protected readonly wakes = { type: "webhook", webhook: { url: "https://receiver.test/" } }

  protected start(): void {
    if (this.isOver) return
    const common = this.newProcess()
    const { name, fetch } = common
    const jwksUrl = `http://model.test/keys/${++receivers}`
    const { concurrency, leaseTtlMs, isLeaseKnown, isWaitUntil, maxDurationMs, isPoisonStopped } =
      this.scenario
    /** By the claims' signals: when its first batch began. */
    const workBegan = new WeakMap<AbortSignal, number>()
    const receive = webhookHandler<string>({
      root: ROOT,
      subscription: ID,
      jwksUrl,
      fetch: (input, init) => (String(input) === jwksUrl ? this.#keys() : fetch(input, init)),
      concurrency,
      maxDurationMs,
      warnOnRetry: false,
      ...(isLeaseKnown && { leaseTtlMs }),
      ...(isWaitUntil && { waitUntil: () => undefined }),
      backoffOptions: { initialDelay: 100, maxDelay: 5_000 },
      startOffset: (path) => this.offsets.startOffset(path),
      maxAttempts: 2,
      // Without an end of the wake: the server wakes again after its own delay.
      ...(isPoisonStopped && { onPoison: () => "stop" as const }),
      onBatch: (batch, context) => {
        const { signal } = context
        const beganMs = workBegan.get(signal) ?? this.clock.elapsedMs
        workBegan.set(signal, beganMs)
        if (this.clock.elapsedMs > beganMs + maxDurationMs) {
          this.problems.push(`${name} begins a batch after ${maxDurationMs} ms of work`)
        }
        return this.handle(process, batch, context)
      },
      observe: (event) => this.tell(name, describeEvent(event)),
      onError: (error) => this.tell(name, `error ${String(error)}`),
    })
    const process: Receiver = Object.assign(common, { receive, open: 0 })
    this.processes.add(process)
  }

  /** A deployment takes it out of the load balancer; what it has begun goes on. */
  protected async end(process: Receiver): Promise<void> {
    this.processes.delete(process)
    this.start()
    while (process.open > 0 && this.isOver) await this.clock.sleep(100)
  }

  /** The server's delivery: again until a 2xx, for as long as the wake is current. */
  protected override onWebhook(wake: ModelWake): void {
    const { random } = this
    const isCurrent = () => this.server.isHeld(ID, wake.generation)
    const attempt = async (): Promise<void> => {
      await this.clock.sleep(random.int(0, this.scenario.maxLatencyMs))
      const isTwice = !this.isHealed && random.chance(this.scenario.doubleEvents)
      const statuses = await Promise.all([
        this.#deliver(wake),
        isTwice ? this.#deliver(wake) : undefined,
      ])
      if (statuses[0] !== undefined && statuses[0] < 300) return
      await this.clock.sleep(random.int(...RETRY_MS))
      if (isCurrent() && !this.isOver) await attempt()
    }
    void attempt()
  }

  /** @returns the status that the server sees; undefined for none */
  async #deliver(wake: ModelWake): Promise<number | undefined> {
    const { random, clock } = this
    const isLost = (): boolean => !this.isHealed && random.chance(this.scenario.lostEvents / 2)
    const alive = [...this.processes]
    if (isLost() || alive.length === 0) return undefined
    const process = random.pick(alive)
    // Most clocks are right; a request that was recorded arrives late.
    const skewMs = this.isHealed || random.chance(0.9) ? 0 : random.int(0, 2 * MAX_AGE_MS)
    const seconds = Math.round((clock.now() - skewMs) / 1000)
    const signature = `t=${seconds},kid=k,ed25519=${"A".repeat(86)}`
    const request = new Request("https://receiver.test/", {
      method: "POST",
      headers: { "webhook-signature": signature },
      body: JSON.stringify(wake),
    })
    process.open++
    const response = process.receive(request).finally(() => process.open--)
    this.tell(process.name, `gets wake ${wake.generation}`)
    const timeout = clock.sleep(RESPONSE_TIMEOUT_MS).then(() => undefined)
    const arrived = await Promise.race([response, timeout])
    this.tell(process.name, `responds ${arrived?.status ?? "nothing"} to ${wake.generation}`)
    // A body would be able to say done, which may acknowledge another wake's work.
    if (arrived !== undefined && arrived.body !== null) {
      this.problems.push(`${process.name} responded to a wake with a body`)
    }
    if (skewMs > MAX_AGE_MS && arrived?.ok === true && skewMs - MAX_AGE_MS > 1_000) {
      this.problems.push(`${process.name} accepted a wake that was ${skewMs} ms old`)
    }
    return process.isDead || isLost() ? undefined : arrived?.status
  }

  async #keys(): Promise<Response> {
    if (!this.isHealed && this.random.chance(0.1)) return new Response(null, { status: 503 })
    return Response.json({ keys: [{ kty: "OKP", crv: "Ed25519", kid: "k", x: "x" }] })
  }
}
