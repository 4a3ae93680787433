/** Tells what is measured: on a terminal each run, elsewhere a line for each case. */
export class Progress {
  readonly #total: number
  #done = 0

  /** @param total - how many runs there are */
  constructor(total: number) {
    this.#total = total
  }

  /** The next run begins. */
  step(what: string): void {
    this.#done++
    const line = `[${this.#done}/${this.#total}] ${what}`
    if (process.stderr.isTTY) process.stderr.write(`\r\u001b[K${line}`)
  }

  /** A case is over. */
  caseEnds(name: string, seconds: number): void {
    if (!process.stderr.isTTY) process.stderr.write(`${name}: ${seconds.toFixed(1)} s\n`)
  }

  /** All runs are over. */
  end(): void {
    if (process.stderr.isTTY) process.stderr.write("\r\u001b[K")
  }
}
