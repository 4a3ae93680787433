// Needs React 18 or 19.
import { useEffect } from "react"
import { subscribe } from "@durable-streams/client"
import { useDurableStream, useStreamWriter } from "@durable-streams/client/react"

/** A view, and what writes to its stream. Another `url` is another view: no data of the one before is shown. */
export function Room({ url }: { url: string }) {
  const { data, status } = useDurableStream({
    url,
    initial: [] as string[],
    reduce: (texts, { text }: { text: string }) => [...texts, text],
  })
  const writer = useStreamWriter({ url, contentType: "application/json" })
  return (
    <main aria-busy={status !== "live"}>
      {data.map((text, index) => (
        <p key={index}>{text}</p>
      ))}
      <button onClick={() => void writer.append({ text: "Hi!" })}>Say hi</button>
    </main>
  )
}

/** An effect without a view. What `subscribe` returns ends whatever has begun, also while the first request is in flight. */
export function Chime({ url, play }: { url: string; play: () => void }) {
  useEffect(() => subscribe({ url, offset: "now" }, { onBatch: play }), [url, play])
  return null
}
