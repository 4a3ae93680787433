import { parseArgs } from "node:util"

/** What the command line says. */
export interface BenchOptions {
  readonly quick: boolean
  readonly json: boolean
  /** Parts of names; a case runs where one of them is in its name. */
  readonly only: readonly string[]
  readonly rounds: number
  /** The file whose table is replaced by this run's. */
  readonly markdown: string | undefined
  /** 1 for the work that the rows name. */
  readonly scale: number
}

const help = `npm run bench -- [options]
  --quick         a twentieth of the work, one round, without the published client: under a minute
  --only <name>   only cases whose name contains it; may be given again
  --rounds <n>    how often each case is run (default 3, quick 1)
  --json          print JSON in place of a table
  --markdown <f>  also put the table into the file f, between its two lines of <!-- table -->`

/** Reads the command line; ends the process where it asks for help or cannot be understood. */
export function readOptions(args: readonly string[]): BenchOptions {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: {
        quick: { type: "boolean", default: false },
        json: { type: "boolean", default: false },
        only: { type: "string", multiple: true, default: [] },
        rounds: { type: "string" },
        markdown: { type: "string" },
        help: { type: "boolean", default: false },
      },
    })
    if (values.help) {
      console.log(help)
      process.exit(0)
    }
    const { quick, json, only, markdown } = values
    const rounds = Number(values.rounds ?? (quick ? 1 : 3))
    if (!Number.isInteger(rounds) || rounds < 1)
      throw new Error("--rounds needs a whole number above 0")
    return { quick, json, only, rounds, markdown, scale: quick ? 0.05 : 1 }
  } catch (error) {
    console.error(`${String(error)}\n\n${help}`)
    process.exit(2)
  }
}
