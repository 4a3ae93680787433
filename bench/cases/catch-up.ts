import {
  SAME_CLIENT,
  type BenchCase,
  type Client,
  type Contender,
  type Job,
  type Row,
  type Target,
} from "../case.ts"
import { expectCount, scaled, timed } from "../timed.ts"
import { perSecond } from "../units.ts"
import { followPages } from "./floor-pages.ts"

const MESSAGE_BYTES = 100

interface Shape {
  readonly pages: number
  readonly messages: number
}

type ShapeOf = (scale: number, contender: Contender) => Shape

const smallPages: ShapeOf = (scale) => ({ pages: scaled(100, scale), messages: 10_000 })

/** The published client's work grows with the square of a page: it gets one page, and less of it. */
const largePages: ShapeOf = (scale, contender) =>
  contender === "peer"
    ? { pages: 1, messages: scaled(100_000, Math.min(1, scale * 2)) }
    : { pages: scaled(5, scale), messages: scaled(200_000, Math.min(1, scale * 5)) }

const hugePage: ShapeOf = (scale) => ({ pages: 1, messages: scaled(1_000_000, scale) })

type Read = (response: Awaited<ReturnType<Client["stream"]>>) => Promise<number>

const json: Read = async (response) => (await response.json()).length

const jsonStream: Read = async (response) => {
  let count = 0
  for await (const message of response.jsonStream()) if (message !== undefined) count++
  return count
}

const subscribeJson: Read = async (response) => {
  let count = 0
  await new Promise<void>((resolve) => {
    response.subscribeJson(({ items, upToDate }) => {
      count += items.length
      if (upToDate) resolve()
    })
  })
  return count
}

async function floor(job: Job, shapeOf: ShapeOf, gathers: boolean): ReturnType<typeof timed> {
  const shape = shapeOf(job.scale, "floor")
  const url = await prepared(job, shape)
  return timed(total(shape), async () => {
    const pages: unknown[][] = []
    let count = 0
    await followPages(url, async (response) => {
      const items = JSON.parse(await response.text()) as unknown[]
      count += items.length
      if (gathers) pages.push(items)
    })
    expectCount(
      "messages",
      gathers ? ([] as unknown[]).concat(...pages).length : count,
      total(shape),
    )
  })
}

/** The loop that `jsonStream()` is made for, over messages that are all there: a settled promise for each. */
async function floorOfLoop(job: Job, shapeOf: ShapeOf): ReturnType<typeof timed> {
  const shape = shapeOf(job.scale, "floor")
  const url = await prepared(job, shape)
  return timed(total(shape), async () => {
    let count = 0
    await followPages(url, async (response) => {
      const items = JSON.parse(await response.text()) as unknown[]
      for await (const message of settled(items)) if (message !== undefined) count++
    })
    expectCount("messages", count, total(shape))
  })
}

function settled(items: readonly unknown[]): AsyncIterable<unknown> {
  let taken = 0
  const next = () =>
    Promise.resolve(
      taken < items.length
        ? { done: false as const, value: items[taken++] }
        : { done: true as const, value: undefined },
    )
  return { [Symbol.asyncIterator]: () => ({ next }) }
}

async function prepared({ serverUrl }: Job, { pages, messages }: Shape): Promise<string> {
  const url = `${serverUrl}/pages/json/${pages}/${messages}/${MESSAGE_BYTES}`
  await fetch(url, { method: "HEAD" })
  return url
}

const total = ({ pages, messages }: Shape) => pages * messages

function catchUp(
  name: string,
  title: string,
  shapeOf: ShapeOf,
  read: Read,
  target: Target,
): BenchCase {
  const row: Row = { title, metric: "time", target, show: perSecond("msg") }
  return {
    name,
    rows: [row],
    floor: (job) => floor(job, shapeOf, read === json),
    async client({ stream }, job) {
      const shape = shapeOf(job.scale, job.contender)
      const url = await prepared(job, shape)
      return timed(total(shape), async () => {
        const response = await stream({ url, warnOnHttp: false })
        expectCount("messages", await read(response), total(shape))
      })
    },
  }
}

const small = "1 M JSON messages of 100 B, pages of 1 MB"
const large = "pages of 20 MB (200 k messages)"
const huge = "one page of 100 MB (1 M messages)"

/** Reading what is stored, as JSON. */
export const catchUpCases: readonly BenchCase[] = [
  catchUp("json", `${small}: json()`, smallPages, json, { ofFloor: 0.95, timesPeer: 1 }),
  catchUp("subscribe-json", `${small}: subscribeJson`, smallPages, subscribeJson, {
    ofFloor: 0.95,
    timesPeer: 1,
  }),
  catchUp("json-stream", `${small}: jsonStream()`, smallPages, jsonStream, { timesPeer: 1.8 }),
  {
    ...catchUp(
      "json-stream-loop",
      "the same (floor: the loop itself, a settled promise for each message)",
      smallPages,
      jsonStream,
      { ofFloor: 0.9 },
    ),
    floor: (job) => floorOfLoop(job, smallPages),
    notQuick: SAME_CLIENT,
  },
  catchUp("large-json", `${large}: json()`, largePages, json, { ofFloor: 0.9 }),
  {
    ...catchUp(
      "large-json-stream",
      `${large}: jsonStream() (floor: with its loop)`,
      largePages,
      jsonStream,
      { ofFloor: 0.9, timesPeer: 1.8 },
    ),
    floor: (job) => floorOfLoop(job, largePages),
  },
  {
    ...catchUp("huge-json", `${huge}: json()`, hugePage, json, { ofFloor: 0.9 }),
    withoutPeer: true,
  },
  {
    ...catchUp("huge-json-stream", `${huge}: jsonStream()`, hugePage, jsonStream, { ofFloor: 0.5 }),
    withoutPeer: true,
  },
]
