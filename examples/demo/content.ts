import { readFile } from "node:fs/promises"

/** One entry of the lock file, as the demo writes it. */
export interface LockEntry {
  readonly n: number
  readonly name: string
  readonly version: string
}

/** The project's own lock entries: real content for the JSON stream. */
export async function lockEntries(count: number): Promise<Pick<LockEntry, "name" | "version">[]> {
  const lock = JSON.parse(await projectFile("package-lock.json")) as {
    packages: Record<string, { version?: string }>
  }
  return Object.entries(lock.packages)
    .filter(([path]) => path !== "")
    .slice(0, count)
    .map(([path, { version = "?" }]) => ({ name: path.replace(/^.*node_modules\//, ""), version }))
}

/** Lines of the project's own source, each numbered: real content for the text stream. */
export async function sourceLines(count: number): Promise<string[]> {
  const source = await projectFile("src/durable-stream.ts")
  return source
    .split("\n")
    .slice(0, count)
    .map((line, index) => `${String(index + 1).padStart(3, "0")} ${line}\n`)
}

function projectFile(path: string): Promise<string> {
  return readFile(new URL(`../../${path}`, import.meta.url), "utf8")
}
