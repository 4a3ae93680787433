import { afterAll, beforeAll, describe, expect, it, vi } from "vitest"
import { stream, type StreamEvent, type StreamOptions } from "../../src/index.ts"
import {
  startBreakingProxy,
  type Breakage,
  type BreakingProxy,
  type ProxiedRequest,
  type ProxyAction,
} from "../support/breaking-proxy.ts"
import { startReferenceServer, type ReferenceServer } from "../support/reference-server.ts"
import {
  append,
  closeStream,
  consume,
  createStream,
  GATHERING,
  METHODS,
  quick,
  Received,
  type Method,
} from "./reading-support.ts"

let server: ReferenceServer
let proxy: BreakingProxy
beforeAll(async () => {
  // What is compressed cannot be cut at every byte of the content.
  server = await startReferenceServer({ longPollTimeout: 2000, compression: false })
  proxy = await startBreakingProxy(server.url)
  proxy.decide = planned
})
afterAll(async () => {
  await proxy.stop()
  await server.stop()
})

const breakages: Breakage[] = ["reset", "end"]

/** Content of a kind: what is stored, what comes live, and what the methods that deliver exactly that are. */
const CONTENT = {
  json: {
    type: "application/json",
    stored: '[{"a":"é😀"},2]',
    appended: '{"b":"é"}',
    expected: '{"a":"é😀"}\n2\n{"b":"é"}\n',
  },
  text: {
    type: "text/plain",
    stored: "first é😀",
    appended: " then 漢字",
    expected: "first é😀 then 漢字",
  },
  bytes: {
    type: "application/octet-stream",
    stored: "0123456789",
    appended: "abcdef",
    expected: "0123456789abcdef",
  },
} as const
type Kind = keyof typeof CONTENT

const kinds: Kind[] = ["json", "text", "bytes"]

/** One read to its end through the proxy, which does `action` once to a request of the transport. */
interface BrokenRead {
  kind: Kind
  method: Method
  /** Where the breakage happens; catch-up is null, as the parameter of a live request is missing then. */
  transport: "long-poll" | "sse" | null
  action: ProxyAction
}

/** What the proxy does with the next request for a path. */
const plans = new Map<string, (request: Omit<ProxiedRequest, "action">) => ProxyAction>()

function planned(request: Omit<ProxiedRequest, "action">): ProxyAction {
  const plan = plans.get(request.path.split("?", 1)[0] ?? "")
  return plan?.(request) ?? { kind: "pass" }
}

/** Do something to one request of a transport, and nothing to the others. */
function once(transport: BrokenRead["transport"], action: ProxyAction) {
  let done = false
  return ({ query }: Omit<ProxiedRequest, "action">): ProxyAction => {
    if (done || query.get("live") !== transport) return { kind: "pass" }
    done = true
    return action
  }
}

/** Read what is stored and, unless the read is finite, what is appended and the end. */
async function readThrough(
  kind: Kind,
  method: Method,
  plan: (request: Omit<ProxiedRequest, "action">) => ProxyAction,
  options: Partial<StreamOptions>,
  beforeAppend: () => unknown = () => undefined,
): Promise<string> {
  const { type, stored, appended } = CONTENT[kind]
  const direct = server.streamUrl()
  await createStream(direct, type, stored)
  const finite = options.live === false
  if (finite) await append(direct, type, appended)
  plans.set(new URL(direct).pathname, plan)
  const response = await stream({ ...quick, url: proxy.through(direct), ...options })
  const received = new Received()
  const done = consume(response, method, received)
  if (!finite) {
    await received.whenEndsWith(kind === "json" ? "2\n" : stored)
    await beforeAppend()
    await append(direct, type, appended)
    await closeStream(direct)
  }
  return done
}

/** Make broken reads, some at a time, and check what each of them got. */
async function checkAll(reads: readonly BrokenRead[], options: Partial<StreamOptions> = {}) {
  const left = [...reads]
  const work = async (): Promise<void> => {
    for (let read = left.pop(); read !== undefined; read = left.pop()) {
      const { kind, method, transport, action } = read
      const live = GATHERING.has(method) ? false : (transport ?? "long-poll")
      const plan = once(transport, action)
      const content = await readThrough(kind, method, plan, { live, ...options })
      expect(content, JSON.stringify(read)).toBe(CONTENT[kind].expected)
    }
  }
  await Promise.all(Array.from({ length: 8 }, work))
}

/** The methods that deliver live; those that gather are for finite reads. */
function liveMethods(kind: Kind): Method[] {
  return METHODS[kind].slice(1)
}

/**
 * A cut at every byte between two places. Each place is cut under one method, the next under another;
 * `DURABLE_STREAMS_THOROUGH` cuts each under all of them.
 */
function everyByte(
  how: Breakage,
  kind: Kind,
  transport: BrokenRead["transport"],
  methods: readonly Method[],
  [from, to]: readonly [number, number],
): BrokenRead[] {
  const thorough = process.env["DURABLE_STREAMS_THOROUGH"] !== undefined
  return Array.from({ length: to - from }, (_, index) => from + index).flatMap((afterBytes) =>
    methods
      .filter((_method, index) => thorough || (afterBytes + index) % methods.length === 0)
      .map((method) => ({ kind, method, transport, action: { kind: "cut", afterBytes, how } })),
  )
}

/** How many bytes the first control event of an SSE connection has, and how many all until the data's. */
async function sseSizes(kind: Kind): Promise<[first: number, all: number]> {
  const { type, stored, appended } = CONTENT[kind]
  const url = server.streamUrl()
  await createStream(url, type, stored)
  const tail = (await fetch(url, { method: "HEAD" })).headers.get("stream-next-offset") ?? ""
  const response = await fetch(`${url}?live=sse&offset=${tail}`)
  const decoder = new TextDecoder()
  let text = ""
  let first = 0
  for await (const chunk of response.body ?? []) {
    text += decoder.decode(chunk)
    if (first === 0 && text.includes("event: control")) {
      first = text.length
      await append(url, type, appended)
      await closeStream(url)
    }
  }
  return [first, text.length]
}

describe.each(breakages)("a connection that breaks off by a %s", (how) => {
  it.each(kinds)("at every byte of a catch-up page: %s", async (kind) => {
    const { byteLength } = new TextEncoder().encode(CONTENT[kind].stored)
    const gathering = METHODS[kind].slice(0, 1)
    await checkAll([
      ...everyByte(how, kind, null, liveMethods(kind), [0, byteLength + 2]),
      ...everyByte(how, kind, null, gathering, [0, byteLength + 12]),
    ])
  })

  it.each(kinds)("at every byte of a long-poll body: %s", async (kind) => {
    const { byteLength } = new TextEncoder().encode(CONTENT[kind].appended)
    for (const method of liveMethods(kind)) {
      await checkAll(everyByte(how, kind, "long-poll", [method], [0, byteLength + 3]))
    }
  })

  it.each(kinds)("at every byte of SSE events, and between data and control: %s", async (kind) => {
    const [first, all] = await sseSizes(kind)
    expect(first).toBeGreaterThan(50)
    // The control event that every connection begins with is the same for all kinds.
    const from = kind === "json" ? 0 : first
    await checkAll(everyByte(how, kind, "sse", liveMethods(kind), [from, all + 1]))
  })

  it("before and in the headers, and with the response lost, at any request", async () => {
    const actions: ProxyAction[] = [
      { kind: "lose-request", how },
      { kind: "lose-response", how },
      { kind: "cut-in-headers", how },
      { kind: "cut", afterBytes: 0, how },
    ]
    const reads = ([null, "long-poll", "sse"] as const).flatMap((transport) =>
      actions.flatMap((action) =>
        kinds.map((kind) => ({ kind, method: METHODS[kind][1], transport, action })),
      ),
    )
    // An SSE response has no end that could be waited for.
    await checkAll(
      reads.filter(
        ({ transport, action }) => transport !== "sse" || action.kind !== "lose-response",
      ),
    )
  })

  it("again and again, ever further into the page", async () => {
    for (const kind of kinds) {
      for (const method of METHODS[kind]) {
        let cuts = 0
        const plan = (): ProxyAction => {
          cuts++
          return cuts > 12 ? { kind: "pass" } : { kind: "cut", afterBytes: (cuts * 5) % 13, how }
        }
        const content = await readThrough(kind, method, plan, { live: false })
        expect(content, method).toBe(CONTENT[kind].expected)
        expect(cuts).toBeGreaterThan(12)
      }
    }
  })

  it("for everybody at once, as when a server restarts", async () => {
    for (const live of ["long-poll", "sse"] as const) {
      const cutAll = (): void => proxy.cutAll(how)
      const pass = (): ProxyAction => ({ kind: "pass" })
      const content = await readThrough("json", "jsonBatches", pass, { live }, cutAll)
      expect(content).toBe(CONTENT.json.expected)
    }
  })
})

/** One read of each kind of content by each transport, to which something happens once. */
function everywhere(action: ProxyAction, methodIndex: 1 | 3): BrokenRead[] {
  return ([null, "long-poll", "sse"] as const).flatMap((transport) =>
    kinds.map((kind) => ({ kind, method: METHODS[kind][methodIndex], transport, action })),
  )
}

describe("responses that fail", () => {
  it.each([500, 502, 503, 504, 429])("%i at any request is tried again", async (status) => {
    await checkAll(everywhere({ kind: "respond", status, body: "no" }, 3))
  })

  it("at random, for a long time, by every method: nothing twice, nothing missing", async () => {
    let requests = 0
    // Two of three requests fail, each in another way than the one before.
    const plan = (): ProxyAction => {
      requests++
      const how = requests % 2 === 0 ? "reset" : "end"
      if (requests % 3 === 0) return { kind: "pass" }
      if (requests % 3 === 1) return { kind: "cut", afterBytes: requests % 11, how }
      if (requests % 4 === 0) return { kind: "respond", status: 503 }
      return { kind: "lose-request", how }
    }
    for (const live of ["long-poll", "sse"] as const) {
      for (const kind of kinds) {
        for (const method of liveMethods(kind)) {
          const content = await readThrough(kind, method, plan, { live })
          expect(content, `${method} by ${live}`).toBe(CONTENT[kind].expected)
        }
      }
    }
  })
})

describe("a connection that falls silent", () => {
  it.each<[string, ProxyAction]>([
    ["before the headers", { kind: "hang" }],
    ["behind the headers", { kind: "hang", afterBytes: 0 }],
    ["in the middle of the body", { kind: "hang", afterBytes: 5 }],
  ])("%s is replaced, and the read goes on", async (_where, action) => {
    await checkAll(everywhere(action, 1), { idleTimeoutMs: 400 })
  })
})

describe("a machine that slept", () => {
  it.each(["long-poll", "sse"] as const)("replaces its stale %s at once", async (live) => {
    const events: StreamEvent[] = []
    const isSse = live === "sse"
    const stale = once(live, isSse ? { kind: "hang", afterBytes: 0 } : { kind: "hang" })
    const sleep = async (): Promise<void> => {
      const under = { kind: isSse ? "response" : "request", transport: live }
      await expect.poll(() => events.at(-1)).toMatchObject(under)
      vi.setSystemTime(Date.now() + 3_600_000)
    }
    vi.useFakeTimers({ toFake: ["Date"] })
    try {
      const options: Partial<StreamOptions> = {
        live,
        idleTimeoutMs: 1500,
        observe: (event) => void events.push(event),
      }
      const content = await readThrough("json", "subscribeJson", stale, options, sleep)
      expect(content).toBe(CONTENT.json.expected)
    } finally {
      vi.useRealTimers()
    }
    const requests = events.flatMap((event) => (event.kind === "request" ? [event.transport] : []))
    expect(requests.slice(0, 3)).toEqual(["catch-up", live, isSse ? "sse" : "catch-up"])
    // Nobody failed: nothing was backed off.
    expect(events.filter(({ kind }) => kind === "retry")).toEqual([])
  })
})
