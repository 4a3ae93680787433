/** What this example uses of Node's SQLite, which the types of Node 20 do not know. */
declare module "node:sqlite" {
  export class DatabaseSync {
    constructor(file: string)
    exec(sql: string): void
    prepare(sql: string): {
      get(...parameters: string[]): Record<string, unknown> | undefined
      all(...parameters: string[]): Record<string, unknown>[]
      run(...parameters: (string | number)[]): unknown
    }
    close(): void
  }
}
