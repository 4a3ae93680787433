/** What is known of the body of a response that is not a success. */
export interface ErrorBody {
  text?: string
  /** The parsed body, if it says that it is JSON and is. */
  json?: object
}

/** An error body longer than this, in characters, is cut: a page of HTML must not fill the memory. */
export const MAX_ERROR_BODY_CHARS = 64 * 1024

/** Sorts the text of a body. */
export function errorBody(text: string, contentType: string | null | undefined): ErrorBody {
  if (text === "") return {}
  if (contentType?.toLowerCase().includes("json") === true) {
    try {
      const json: unknown = JSON.parse(text)
      if (typeof json === "object" && json !== null) return { json }
    } catch {
      // Then it is text.
    }
  }
  return { text }
}

/** Reads the body of a response that a program has, or of a mock that has no more than `json()`. Never fails. */
export async function plainBody(response: Partial<Response>): Promise<ErrorBody> {
  try {
    if (typeof response.text !== "function") {
      // What a mock's json() gives is what its author wants to see.
      return { json: (await response.json?.()) as object }
    }
    const text = (await response.text()).slice(0, MAX_ERROR_BODY_CHARS)
    return errorBody(text, response.headers?.get("content-type"))
  } catch {
    return {}
  }
}
