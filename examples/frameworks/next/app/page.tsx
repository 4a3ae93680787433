// Needs Next: app/page.tsx, a server component. What is stored is in the first HTML, and the page continues behind it.
import { stream } from "@durable-streams/client"
import { Room, type Message } from "./room"

export const dynamic = "force-dynamic"

export default async function Page() {
  const response = await stream<Message>({
    url: `${process.env["STREAMS_URL"]}/room`,
    headers: { authorization: `Bearer ${process.env["STREAMS_TOKEN"]}` },
    live: false,
  })
  const texts = (await response.json()).map(({ text }) => text)
  return <Room snapshot={{ data: texts, offset: response.offset }} />
}
