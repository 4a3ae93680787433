import { readFileSync, writeFileSync } from "node:fs"

const MARK = "<!-- table -->"

/**
 * Puts a table into a Markdown file in place of the one that is there.
 *
 * @throws Error where the file has no place for it
 */
export function replaceTable(file: string, table: string): void {
  const [before, , after, ...rest] = readFileSync(file, "utf8").split(MARK)
  if (before === undefined || after === undefined || rest.length > 0)
    throw new Error(`${file} needs two lines of ${MARK}, around its table`)
  writeFileSync(file, `${before}${MARK}\n\n${table}\n\n${MARK}${after}`)
}
