/**
 * Follows the pages of a stream with bare fetch, as little as a program can do.
 *
 * @param take - takes each answer's body
 */
export async function followPages(
  url: string,
  take: (response: Response) => Promise<void>,
): Promise<void> {
  let offset = "-1"
  for (;;) {
    const response = await fetch(`${url}?offset=${offset}`)
    await take(response)
    if (response.headers.has("stream-up-to-date")) return
    offset = response.headers.get("stream-next-offset") ?? ""
  }
}

/** The same, but each page is requested as soon as the one before it names its offset: no client can know it earlier. */
export async function followPagesAhead(
  url: string,
  take: (response: Response) => Promise<void>,
): Promise<void> {
  let next: Promise<Response> | undefined = fetch(`${url}?offset=-1`)
  while (next !== undefined) {
    const response: Response = await next
    const offset = response.headers.get("stream-next-offset") ?? ""
    const isLast = response.headers.has("stream-up-to-date")
    next = isLast ? undefined : fetch(`${url}?offset=${offset}`)
    await take(response)
  }
}
