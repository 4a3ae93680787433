/** What a caller's mock responds with: headers that can do no more than `get`, and a body that is taken whole. */
export function bareResponse(response: Response): Response {
  const headers = { get: (name: string) => response.headers.get(name) }
  const { ok, status, statusText } = response
  const text = () => response.text()
  const arrayBuffer = () => response.arrayBuffer()
  // Less than a Response, on purpose.
  return { ok, status, statusText, headers, text, arrayBuffer } as unknown as Response
}
