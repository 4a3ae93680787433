import { afterAll, beforeAll, expect, it, onTestFinished, vi } from "vitest"
import { createTestServer } from "../../../src/testing/index.ts"
import { SeededRandom } from "../../support/seeded-random.ts"
import { startSubscriptionServer } from "../../support/subscription-server.ts"

const SEQUENCES = 150
const REQUESTS_EACH = 20
// Beside other work on the machine.
const TIMEOUT_MS = 300_000
const PATHS = ["a", "b", "c"]

interface Claimed {
  wake_id: string
  generation: number
  token: string
}

/** One of the two servers. Offsets are named by the positions they stand for, so that both can be compared. */
type Send = (
  method: string,
  path: string,
  init: { body?: unknown; token?: string },
) => Promise<Response>

class Side {
  readonly #send: Send
  readonly #folder: string
  readonly #id: string
  /** By path: the offset of each position. */
  readonly #offsets = new Map<string, string[]>()
  readonly #claims: Claimed[] = []
  #firstGeneration: number | undefined

  constructor(send: Send, folder: string) {
    this.#send = send
    this.#folder = folder
    this.#id = folder
  }

  async append(name: string): Promise<unknown> {
    const response = await this.#send("POST", `${this.#folder}/${name}`, { body: { n: 1 } })
    return this.#note(name, response)
  }

  async createStream(name: string): Promise<unknown> {
    const response = await this.#send("PUT", `${this.#folder}/${name}`, {})
    // What was there under this name before has other offsets.
    if (response.status === 201) this.#offsets.delete(name)
    return this.#note(name, response)
  }

  async deleteStream(name: string): Promise<unknown> {
    return (await this.#send("DELETE", `${this.#folder}/${name}`, {})).status
  }

  async subscription(method: string, config?: unknown): Promise<unknown> {
    const response = await this.#send(method, `__ds/subscriptions/${this.#id}`, { body: config })
    return this.#summary(response)
  }

  async links(method: "POST" | "DELETE", name: string): Promise<unknown> {
    const path = `${this.#folder}/${name}`
    const base = `__ds/subscriptions/${this.#id}/streams`
    const response =
      method === "POST"
        ? await this.#send("POST", base, { body: { streams: [path] } })
        : await this.#send("DELETE", `${base}/${encodeURIComponent(path)}`, {})
    return response.status
  }

  async claim(worker: string): Promise<unknown> {
    const response = await this.#send("POST", `__ds/subscriptions/${this.#id}/claim`, {
      body: { worker },
    })
    const copy = response.clone()
    if (response.status === 200) this.#claims.push((await copy.json()) as Claimed)
    return this.#summary(response)
  }

  /** @param age - 0 for the last claim, 1 for the one before */
  async ack(
    age: number,
    acks: readonly { name: string; at: number }[],
    done: boolean,
  ): Promise<unknown> {
    return this.#withClaim("ack", age, {
      acks: acks.map(({ name, at }) => ({
        stream: `${this.#folder}/${name}`,
        offset: at < 0 ? "-1" : (this.#offsets.get(name)?.at(at) ?? "-1"),
      })),
      ...(done && { done }),
    })
  }

  release(age: number): Promise<unknown> {
    return this.#withClaim("release", age, {})
  }

  async wakeCount(): Promise<number> {
    const response = await this.#send("GET", `${this.#folder}-wake?offset=-1`, {})
    return ((await response.json()) as unknown[]).length
  }

  async #withClaim(action: string, age: number, body: object): Promise<unknown> {
    const claim = this.#claims.at(-1 - age)
    if (claim === undefined) return "no claim"
    const { wake_id, generation, token } = claim
    const response = await this.#send("POST", `__ds/subscriptions/${this.#id}/${action}`, {
      body: { wake_id, generation, ...body },
      token,
    })
    return this.#summary(response)
  }

  #note(name: string, response: Response): unknown {
    const offset = response.headers.get("stream-next-offset")
    const known = this.#offsets.get(name) ?? []
    if (offset !== null && !known.includes(offset)) known.push(offset)
    this.#offsets.set(name, known)
    return response.status
  }

  async #summary(response: Response): Promise<unknown> {
    const text = await response.text()
    // Both servers respond with objects.
    const body = (text === "" ? {} : JSON.parse(text)) as Record<string, unknown>
    const error = body["error"] as Record<string, unknown> | undefined
    const streams = body["streams"] as Record<string, unknown>[] | undefined
    const generation = (body["generation"] ?? error?.["generation"]) as number | undefined
    this.#firstGeneration ??= generation
    return {
      status: response.status,
      code: error?.["code"],
      holder: error?.["current_holder"],
      ok: body["ok"],
      nextWake: body["next_wake"],
      generation: generation === undefined ? undefined : generation - (this.#firstGeneration ?? 0),
      streams: streams
        ?.map(({ path, link_type, acked_offset, tail_offset, has_pending }) => {
          const name = String(path).split("/").at(-1) ?? ""
          const position = (offset: unknown) =>
            offset === "-1" ? "start" : this.#offsets.get(name)?.indexOf(String(offset))
          return [
            name,
            link_type,
            position(acked_offset),
            tail_offset && position(tail_offset),
            has_pending,
          ]
        })
        .sort(),
    }
  }
}

let server: Awaited<ReturnType<typeof startSubscriptionServer>>
beforeAll(async () => {
  server = await startSubscriptionServer()
})
afterAll(() => server[Symbol.asyncDispose]())

function side(fetch: typeof globalThis.fetch, root: string, folder: string): Side {
  return new Side(
    (method, path, { body, token }) =>
      fetch(`${root}/${path}`, {
        method,
        headers: {
          "content-type": "application/json",
          ...(token !== undefined && { authorization: `Bearer ${token}` }),
        },
        ...(body !== undefined && { body: JSON.stringify(body) }),
      }),
    folder,
  )
}

function bothSides(folder: string): readonly [ours: Side, theirs: Side] {
  const model = createTestServer({ url: "http://model.test/v1/stream" })
  onTestFinished(() => model.close())
  return [side(model.fetch, model.url, folder), side(fetch, server.root, folder)]
}

/** What both sides are asked in a sequence. */
function draw(random: SeededRandom): [label: string, ask: (side: Side) => Promise<unknown>] {
  const name = random.pick(PATHS)
  const age = random.chance(0.8) ? 0 : 1
  const acks = random
    .shuffle(PATHS)
    .slice(0, random.int(0, 2))
    .map((each) => ({ name: each, at: random.chance(0.8) ? random.int(1, 4) : random.int(-1, 0) }))
  const done = random.chance(0.4)
  const worker = random.pick(["w1", "w2"])
  const choices: [number, string, (side: Side) => Promise<unknown>][] = [
    [5, `append ${name}`, (side) => side.append(name)],
    [3, `claim ${worker}`, (side) => side.claim(worker)],
    [6, `ack ${age} ${JSON.stringify(acks)} ${done}`, (side) => side.ack(age, acks, done)],
    [1, `release ${age}`, (side) => side.release(age)],
    [1, "get", (side) => side.subscription("GET")],
    [1, `create ${name}`, (side) => side.createStream(name)],
    [0.5, `link ${name}`, (side) => side.links("POST", name)],
    [0.5, `unlink ${name}`, (side) => side.links("DELETE", name)],
    [0.5, `delete ${name}`, (side) => side.deleteStream(name)],
  ]
  let rest = random.next() * choices.reduce((sum, [weight]) => sum + weight, 0)
  const found = choices.find(([weight]) => (rest -= weight) < 0) ?? choices[0]!
  return [found[1], found[2]]
}

it(
  `responds to ${SEQUENCES} random request sequences about subscriptions as the reference server does`,
  async () => {
    for (let seed = 1; seed <= SEQUENCES; seed++) {
      const random = new SeededRandom(seed)
      const folder = `seq-${seed}`
      const sides = bothSides(folder)
      const config = {
        type: "pull-wake",
        wake_stream: `${folder}-wake`,
        ...(random.chance(0.8) ? { pattern: `${folder}/*` } : { streams: [`${folder}/a`] }),
      }
      const setUp: [string, (side: Side) => Promise<unknown>][] = [
        ["wake", (side) => side.createStream("../" + folder + "-wake")],
        ["create a", (side) => side.createStream("a")],
        ["append a", (side) => side.append("a")],
        ["subscribe", (side) => side.subscription("PUT", config)],
        ["subscribe again", (side) => side.subscription("PUT", config)],
      ]
      const history: string[] = []
      for (let index = 0; index < REQUESTS_EACH + setUp.length; index++) {
        const [label, ask] = setUp[index] ?? draw(random)
        history.push(label)
        const [ours, theirs] = await Promise.all(sides.map(ask))
        expect(ours, `seed ${seed}:\n${history.join("\n")}`).toEqual(theirs)
        const [ourWakes, theirWakes] = await Promise.all(sides.map((side) => side.wakeCount()))
        expect(ourWakes, `seed ${seed}, wakes:\n${history.join("\n")}`).toBe(theirWakes)
      }
    }
  },
  TIMEOUT_MS,
)

it("ends leases that expire as the reference server does", async () => {
  // Both servers run in this process: their leases end when the test says so.
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "Date"] })
  onTestFinished(() => void vi.useRealTimers())
  const sequence = async (seed: number) => {
    const random = new SeededRandom(seed)
    const folder = `lease-${seed}`
    const sides = bothSides(folder)
    const config = {
      type: "pull-wake",
      wake_stream: `${folder}-wake`,
      pattern: `${folder}/*`,
      lease_ttl_ms: 1_000,
    }
    const history: string[] = []
    const both = async (label: string, ask: (side: Side) => Promise<unknown>) => {
      history.push(label)
      const [ours, theirs] = await Promise.all(sides.map(ask))
      expect(ours, `seed ${seed}:\n${history.join("\n")}`).toEqual(theirs)
    }
    await both("wake", (side) => side.createStream("../" + folder + "-wake"))
    for (const name of PATHS) await both(`create ${name}`, (side) => side.createStream(name))
    await both("subscribe", (side) => side.subscription("PUT", config))
    // More than is acknowledged below, so that the end of the lease is followed by a wake.
    for (let count = 0; count < 3; count++) await both("append a", (side) => side.append("a"))
    await both("claim", (side) => side.claim("w1"))
    const acked = random.int(0, 2)
    if (acked > 0) await both("ack", (side) => side.ack(0, [{ name: "a", at: acked }], false))
    if (random.chance(0.5)) await both("append b", (side) => side.append("b"))
    await vi.advanceTimersByTimeAsync(1_000)
    await both("wakes", (side) => side.wakeCount())
    await both("late ack", (side) => side.ack(0, [{ name: "a", at: 3 }], random.chance(0.5)))
    await both("late release", (side) => side.release(0))
    await both("get", (side) => side.subscription("GET"))
    await both("claim", (side) => side.claim("w2"))
    await both("late ack", (side) => side.ack(1, [], false))
    await both("ack", (side) => side.ack(0, [{ name: "a", at: 3 }], true))
  }
  for (let seed = 1; seed <= 20; seed++) await sequence(seed)
})
