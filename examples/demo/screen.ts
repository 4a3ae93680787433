const colored = process.stdout.isTTY && process.env["NO_COLOR"] === undefined

/** Colors for a terminal; plain text anywhere else. */
export const paint = {
  dim: (text: string): string => color(2, text),
  bold: (text: string): string => color(1, text),
  good: (text: string): string => color(32, text),
  bad: (text: string): string => color(31, text),
  note: (text: string): string => color(33, text),
}

/** Prints a heading. */
export function heading(text: string): void {
  console.log(`\n${paint.bold(text)}`)
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
  return colored ? `\u001b[${code}m${text}\u001b[0m` : text
}
