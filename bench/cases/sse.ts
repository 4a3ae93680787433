import { SAME_CLIENT, type BenchCase, type Job, type Row } from "../case.ts"
import { expectCount, scaled, timed } from "../timed.ts"
import { megabytesPerSecond, perSecond } from "../units.ts"

const MESSAGE_BYTES = 100

interface SseCase {
  readonly name: string
  readonly row: Pick<Row, "title" | "target" | "show">
  /** What a unit of work is: an event, or a byte. */
  readonly unit: "event" | "byte"
  readonly events: number
  readonly messages: number
  readonly chunkBytes: number
  /** Takes the body apart, giving the data of each event. Default: the whole text, split at its empty lines. */
  readonly floor?: (response: Response, onData: (data: string) => void) => Promise<void>
}

async function splitText(response: Response, onData: (data: string) => void): Promise<void> {
  for (const block of (await response.text()).split("\n\n")) {
    if (block !== "") onData(block.slice(block.indexOf("data: ") + 6))
  }
}

async function eventsourceParser(response: Response, onData: (data: string) => void) {
  const { createParser } = await import("eventsource-parser")
  const parser = createParser({ onEvent: ({ data }) => onData(data) })
  const decoder = new TextDecoder()
  for await (const chunk of chunksOf(response)) parser.feed(decoder.decode(chunk, { stream: true }))
}

async function fetchEventSource(response: Response, onData: (data: string) => void) {
  const parse = await import("@microsoft/fetch-event-source/lib/cjs/parse.js")
  const ignore = () => undefined
  const onChunk = parse.getLines(parse.getMessages(ignore, ignore, ({ data }) => onData(data)))
  for await (const chunk of chunksOf(response)) onChunk(chunk)
}

// Node's body iterates; the library's type does not know it.
const chunksOf = ({ body }: Response) => body as unknown as AsyncIterable<Uint8Array>

function sseCase(settings: SseCase): BenchCase {
  const { name, row, unit, events, messages, chunkBytes, floor = splitText } = settings
  const begin = async ({ serverUrl, scale }: Job) => {
    // A single event shrinks; of many there are fewer.
    const count = events === 1 ? 1 : scaled(events, scale)
    const inEach = events === 1 ? scaled(messages, scale) : messages
    const url = `${serverUrl}/events/${count}/${inEach}/${MESSAGE_BYTES}/${chunkBytes}`
    await fetch(url, { method: "HEAD" })
    const total = count * inEach
    return { url, total, units: unit === "event" ? count : total * MESSAGE_BYTES }
  }
  return {
    name,
    rows: [{ ...row, metric: "time" }],
    async floor(job) {
      const { url, total, units } = await begin(job)
      return timed(units, async () => {
        let received = 0
        await floor(await fetch(`${url}?live=sse&offset=-1`), (data) => {
          const value = JSON.parse(data) as unknown
          if (Array.isArray(value)) received += value.length
        })
        expectCount("messages", received, total)
      })
    },
    async client({ stream }, job) {
      const { url, total, units } = await begin(job)
      return timed(units, async () => {
        // One event is larger than the default of 64 MiB.
        const options = { url, live: "sse", warnOnHttp: false, maxPageBytes: Infinity } as const
        const response = await stream(options)
        let received = 0
        await new Promise<void>((resolve) => {
          response.subscribeJson(({ items }) => {
            received += items.length
            if (received === total) resolve()
          })
        })
        expectCount("messages", received, total)
      })
    },
  }
}

const small = { unit: "event", events: 300_000, messages: 1, chunkBytes: 65_536 } as const

/** Reading server-sent events as fast as they come. */
export const sseCases: readonly BenchCase[] = [
  sseCase({
    ...small,
    name: "sse-small",
    row: {
      title: "SSE, 300 k events of 100 B",
      target: { timesPeer: 10 },
      show: perSecond("events"),
    },
  }),
  {
    ...sseCase({
      ...small,
      name: "sse-small-eventsource-parser",
      row: {
        title: "the same (floor: bare fetch and eventsource-parser)",
        target: { ofFloor: 1 },
        show: perSecond("events"),
      },
      floor: eventsourceParser,
    }),
    withoutPeer: true,
    notQuick: SAME_CLIENT,
  },
  {
    ...sseCase({
      ...small,
      name: "sse-small-fetch-event-source",
      row: {
        title: "the same (floor: bare fetch and the parser of fetch-event-source)",
        target: { ofFloor: 1 },
        show: perSecond("events"),
      },
      floor: fetchEventSource,
    }),
    withoutPeer: true,
    notQuick: SAME_CLIENT,
  },
  sseCase({
    name: "sse-large",
    row: { title: "SSE, 100 events of 1 MB", target: { timesPeer: 3 }, show: megabytesPerSecond },
    unit: "byte",
    events: 100,
    messages: 10_000,
    chunkBytes: 65_536,
  }),
  sseCase({
    name: "sse-huge",
    row: {
      title: "SSE, one event of 20 MB in chunks of 16 KB",
      target: { timesPeer: 30 },
      show: megabytesPerSecond,
    },
    unit: "byte",
    events: 1,
    messages: 200_000,
    chunkBytes: 16_384,
  }),
  {
    ...sseCase({
      name: "sse-linear",
      row: {
        title: "SSE, one event of 100 MB in chunks of 16 KB",
        target: { ofFloor: 0.5 },
        show: megabytesPerSecond,
      },
      unit: "byte",
      events: 1,
      messages: 1_000_000,
      chunkBytes: 16_384,
    }),
    withoutPeer: true,
  },
]
