// Needs Next: app/streams/[name]/route.ts. Decides who may read, and passes the stream on: the token stays on the server.
interface Context {
  params: Promise<{ name: string }>
}

export async function GET(request: Request, { params }: Context): Promise<Response> {
  const { name } = await params
  if (name !== "room") return new Response("Not yours", { status: 403 })
  const { search } = new URL(request.url) // offset, live, cursor
  const { body, status, headers } = await fetch(`${process.env["STREAMS_URL"]}/${name}${search}`, {
    headers: { authorization: `Bearer ${process.env["STREAMS_TOKEN"]}` },
    signal: request.signal, // a reader that leaves ends the request behind it
    cache: "no-store",
  })
  const passedOn = new Headers(headers)
  // fetch() has decoded the body.
  for (const header of ["content-encoding", "content-length"]) passedOn.delete(header)
  return new Response(body, { status, headers: passedOn })
}
