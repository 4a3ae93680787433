// Needs Next: app/room.tsx, a client component. On the server it renders the snapshot; in the page it follows the stream from there.
"use client"

import { useDurableStream } from "@durable-streams/client/react"

export interface Message {
  readonly text: string
}

export function Room({ snapshot }: { snapshot: { data: string[]; offset: string } }) {
  const { data, status } = useDurableStream({
    url: "/streams/room",
    snapshot,
    initial: [] as string[],
    reduce: (texts, { text }: Message) => [...texts, text],
  })
  return (
    <main aria-busy={status !== "live"}>
      {data.map((text, index) => (
        <p key={index}>{text}</p>
      ))}
    </main>
  )
}
