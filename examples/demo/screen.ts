const { stdout } = process
const isTerminal = stdout.isTTY
const isColored = isTerminal && process.env["NO_COLOR"] === undefined

/** Colors for a terminal; plain text anywhere else. */
export const paint = {
  dim: (text: string): string => color(2, text),
  bold: (text: string): string => color(1, text),
  good: (text: string): string => color(32, text),
  bad: (text: string): string => color(31, text),
  note: (text: string): string => color(33, text),
}

const BAR_CELLS = 24

/** How much of a whole is there. */
export function bar(part: number, whole: number): string {
  const cells = whole === 0 ? 0 : Math.round((part / whole) * BAR_CELLS)
  return "█".repeat(cells) + paint.dim("░".repeat(BAR_CELLS - cells))
}

/**
 * The rows of an act. A terminal shows them in one place, drawn again at each change, with the latest event below; if the output goes
 * elsewhere, each event is a line and the rows are not shown.
 */
export class Screen {
  readonly #rows: () => readonly string[]
  readonly #timer: NodeJS.Timeout | undefined
  #event = ""
  #drawnRows = 0

  constructor(title: string, rows: () => readonly string[]) {
    this.#rows = rows
    console.log(`\n${paint.bold(title)}`)
    if (!isTerminal) return
    stdout.write("\u001b[?25l")
    this.#timer = setInterval(() => this.#draw(), 60)
  }

  /** Something happened that a person wants to know. */
  event(text: string): void {
    this.#event = text
    if (!isTerminal) console.log(text)
  }

  end(): void {
    if (!isTerminal) return
    clearInterval(this.#timer)
    this.#draw()
    showCursor()
  }

  #draw(): void {
    const lines = [...this.#rows(), paint.note(this.#event)]
    const up = this.#drawnRows === 0 ? "" : `\u001b[${this.#drawnRows}A`
    stdout.write(up + lines.map((line) => `\u001b[2K${line}\n`).join(""))
    this.#drawnRows = lines.length
  }
}

/** A terminal's cursor, which an act hides. */
export function showCursor(): void {
  if (isTerminal) stdout.write("\u001b[?25h")
}

/** Prints rows under their titles, each column as wide as it needs. */
export function table(rows: readonly Readonly<Record<string, string | number>>[]): void {
  const titles = Object.keys(rows[0] ?? {})
  const widths = titles.map((title) =>
    Math.max(title.length, ...rows.map((row) => String(row[title]).length)),
  )
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0)))
      .join("  ")
  console.log(paint.dim(line(titles)))
  for (const row of rows) console.log(line(titles.map((title) => String(row[title]))))
}

function color(code: number, text: string): string {
  return isColored ? `\u001b[${code}m${text}\u001b[0m` : text
}
