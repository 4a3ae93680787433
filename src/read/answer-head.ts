/** What a response shows of an answer. The answer itself would keep its body, long after that was read. */
export class AnswerHead {
  readonly status: number
  readonly statusText: string
  /** Or names and values in turn: a session may wait for days, and a platform's Headers takes three times as much. */
  #headers: Headers | readonly string[]

  /**
   * @param response - the answer
   * @param staysOpen - whether its body will be read for long: the platform keeps the headers for as long
   */
  constructor({ status, statusText, headers }: Response, staysOpen: boolean) {
    this.status = status
    this.statusText = statusText
    // What is not the platform's own cannot be made again of what it lists.
    this.#headers = staysOpen || !(headers instanceof Headers) ? headers : [...headers].flat()
  }

  get headers(): Headers {
    if ("get" in this.#headers) return this.#headers
    const headers = new Headers()
    this.#headers.forEach((name, index, fields) => {
      if (index % 2 === 0) headers.append(name, fields[index + 1] ?? "")
    })
    this.#headers = headers
    return headers
  }
}
