import { DurableStreamError } from "./durable-stream-error.ts"

/** No URL was given, or an empty one. */
export class MissingStreamUrlError extends DurableStreamError {
  static override readonly name: string = "MissingStreamUrlError"
  override name = "MissingStreamUrlError"

  constructor() {
    super('The option url is missing: pass { url: "https://…" }.', "BAD_REQUEST")
  }
}
