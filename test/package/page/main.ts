import { DurableStream, stream } from "@durable-streams/client"

const url = new URLSearchParams(location.search).get("stream") ?? ""

function show(list: string, text: string): void {
  const item = document.createElement("li")
  item.textContent = text
  document.querySelector(list)?.append(item)
}

const worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" })
worker.addEventListener("message", ({ data }: MessageEvent<string>) => show("#worker", data))
worker.postMessage(url)

const offset = localStorage.getItem("offset") ?? "-1"
show("#start", offset)
if (offset === "-1") {
  const chat = await DurableStream.connect({ url, warnOnHttp: false })
  await chat.append({ text: "sent by the page" })
}

const response = await stream<{ text: string }>({ url, offset, warnOnHttp: false })
for await (const batch of response.jsonBatches()) {
  for (const { text } of batch.items) show("#page", text)
  localStorage.setItem("offset", batch.offset)
}
