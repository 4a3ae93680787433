import type { stream } from "../../src/index.ts"

/** Reads a stream in a page, whole, as one contender does. */
export interface PageReader {
  /** @returns how many messages there were */
  catchUp(url: string): Promise<number>
  /** @param total - how many messages will come */
  events(url: string, total: number): Promise<number>
}

/** Bare fetch and JSON.parse. */
export const floor: PageReader = {
  async catchUp(url) {
    let count = 0
    for (let offset = "-1"; ;) {
      const response = await fetch(`${url}?offset=${offset}`)
      count += (JSON.parse(await response.text()) as unknown[]).length
      if (response.headers.has("stream-up-to-date")) return count
      offset = response.headers.get("stream-next-offset") ?? ""
    }
  },
  async events(url) {
    const response = await fetch(`${url}?live=sse&offset=-1`)
    const reader = response.body?.getReader()
    const decoder = new TextDecoder()
    let count = 0
    let rest = ""
    for (;;) {
      const { done, value } = (await reader?.read()) ?? { done: true }
      if (done) return count
      const blocks = (rest + decoder.decode(value, { stream: true })).split("\n\n")
      rest = blocks.pop() ?? ""
      for (const block of blocks) {
        const data = JSON.parse(block.slice(block.indexOf("data: ") + 6)) as unknown
        if (Array.isArray(data)) count += data.length
      }
    }
  },
}

/** The published client, or this one. */
export function client(open: typeof stream): PageReader {
  const read = async (url: string, live: false | "sse", isDone: (count: number) => boolean) => {
    const response = await open({ url, live, warnOnHttp: false })
    return new Promise<number>((resolve) => {
      let count = 0
      response.subscribeJson(({ items, upToDate }) => {
        count += items.length
        if (live === false ? upToDate : isDone(count)) resolve(count)
      })
    })
  }
  return {
    catchUp: (url) => read(url, false, () => false),
    events: (url, total) => read(url, "sse", (count) => count === total),
  }
}
