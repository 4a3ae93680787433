import { stream } from "@durable-streams/client"

addEventListener("message", ({ data: url }: MessageEvent<string>) => {
  void tail(url)
})

async function tail(url: string): Promise<void> {
  const response = await stream<{ text: string }>({ url, warnOnHttp: false })
  response.subscribeJson(({ items }) => {
    for (const { text } of items) self.postMessage(text)
  })
  await response.closed
}
