import type { stream, StreamOptions } from "../../src/index.ts"

/** Reads a stream in a page, whole, as one contender does. */
export interface PageReader {
  /**
   * @param total - how many messages will come
   * @returns how many there were
   */
  catchUp(url: string, total: number): Promise<number>
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
  const read = async (options: StreamOptions, total: number) => {
    const response = await open({ ...options, warnOnHttp: false })
    return new Promise<number>((resolve) => {
      let count = 0
      response.subscribeJson(({ items }) => {
        count += items.length
        if (count === total) resolve(count)
      })
    })
  }
  return {
    catchUp: (url, total) => read({ url }, total),
    events: (url, total) => read({ url, live: "sse" }, total),
  }
}
