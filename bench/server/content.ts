const cache = new Map<string, Buffer>()

function cached(key: string, build: () => Buffer): Buffer {
  const known = cache.get(key)
  if (known !== undefined) return known
  const built = build()
  cache.set(key, built)
  return built
}

/** A JSON object that is exactly so many bytes long. */
export function message(index: number, bytes: number): string {
  const head = `{"id":${index},"from":"user-${index % 100}","text":"`
  return head + "x".repeat(Math.max(0, bytes - head.length - 2)) + '"}'
}

/** A page of JSON messages, made once. */
export function jsonPage(messages: number, messageBytes: number): Buffer {
  return cached(`json ${messages} ${messageBytes}`, () =>
    Buffer.from(
      `[${Array.from({ length: messages }, (_, index) => message(index, messageBytes)).join(",")}]`,
    ),
  )
}

/** A page of bytes, made once. */
export function bytesPage(bytes: number): Buffer {
  return cached(`bytes ${bytes}`, () => Buffer.alloc(bytes, 0xa5))
}

/** A whole SSE answer, each data event with its control event, made once; the last one closes the stream. */
export function eventStream(events: number, messagesInEach: number, messageBytes: number): Buffer {
  return cached(`events ${events} ${messagesInEach} ${messageBytes}`, () => {
    const data = jsonPage(messagesInEach, messageBytes).toString()
    const parts: Buffer[] = []
    let block = ""
    for (let index = 1; index <= events; index++) {
      const end = index === events ? ',"streamClosed":true' : ""
      const control = `{"streamNextOffset":"${offsetAt(index)}","streamCursor":"1000","upToDate":true${end}}`
      block += `event: data\ndata: ${data}\n\nevent: control\ndata: ${control}\n\n`
      if (block.length > 1e6) {
        parts.push(Buffer.from(block))
        block = ""
      }
    }
    return Buffer.concat([...parts, Buffer.from(block)])
  })
}

/** An offset that grows with its index, as servers make them. */
export function offsetAt(index: number): string {
  return String(index).padStart(16, "0")
}

/** The index in an offset that {@link offsetAt} made; 0 for the start. */
export function indexOf(offset: string | null): number {
  return offset === null || offset === "-1" ? 0 : Number(offset)
}
