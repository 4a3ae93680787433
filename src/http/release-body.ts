/** Lets go of a body that nobody will read, so that its connection is free. */
export function releaseBody(response: Response): void {
  if (response.bodyUsed) return
  // React Native's and node-fetch's bodies are no streams of the platform; their requests end with the signal.
  const body = response.body as Partial<ReadableStream> | null | undefined
  // Whoever releases a body has no use for its end, however it ends.
  body?.cancel?.().catch(() => undefined)
}
