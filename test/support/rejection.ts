/** The error that a promise rejects with. Fails where it resolves. */
export async function rejection(
  promise: Promise<unknown>,
): Promise<Error & Record<string, unknown>> {
  try {
    await promise
  } catch (error) {
    // What the tests look at are fields of errors; a field that is not there reads as undefined.
    return error as Error & Record<string, unknown>
  }
  throw new Error("Resolved, but was to reject")
}
