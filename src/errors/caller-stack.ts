const traced = new WeakSet<Error>()

/** Remembers where a call comes from, for an error that is made in a later turn. Its text is not made unless it is needed. */
export function captureCallerStack(): object {
  return new Error("called")
}

/**
 * Adds the caller's frames to the stack of an error that was made in a later turn, whose own frames are all of this package.
 * An error that several calls share gets the frames of the first.
 */
export function addCallerStack(error: unknown, callerStack: object | undefined): void {
  if (!(error instanceof Error) || callerStack === undefined || traced.has(error)) return
  // Only captureCallerStack makes one; not every platform has a stack.
  const { stack } = callerStack as { readonly stack?: string }
  const frames = stack?.split("\n").filter((line) => line !== "Error: called")
  if (frames === undefined || typeof error.stack !== "string") return
  traced.add(error)
  try {
    error.stack = `${error.stack}\n${frames.join("\n")}`
  } catch {
    // A frozen error of the caller's.
  }
}
