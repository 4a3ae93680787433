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
