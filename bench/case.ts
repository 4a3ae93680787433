import type * as client from "../src/index.ts"

/** Who does the work: bare fetch, the published client, or this one. */
export type Contender = "floor" | "peer" | "ours"

/** The package under measurement. The published client offers the older part of it under the same names. */
export type Client = typeof client

/** What one run is given. */
export interface Job {
  readonly contender: Contender
  /** Where the bench server listens, without a slash at its end. */
  readonly serverUrl: string
  /** 1 for a full run; less for a quick one. */
  readonly scale: number
  /** The client of this package, for cases that compare it with itself. */
  loadOurs(): Promise<Client>
  /** Where each client's entry file is, for cases that load or bundle it themselves. */
  readonly entries: Readonly<Record<"peer" | "ours", string>>
  /** The script of a page that reads as each contender does, for cases that run in a browser. */
  readonly pageScripts: Readonly<Record<Contender, string>>
}

/** What one run costs, by metric; less is better. `time` is milliseconds for one unit of work. */
export type Costs = Readonly<Record<string, number | undefined>>

/** What a row of the table is held against. */
export interface Target {
  /** At least this part of the floor's speed. */
  readonly ofFloor?: number
  /** At least this many times as good as the peer. */
  readonly timesPeer?: number
  /** At most this cost. */
  readonly atMost?: number
}

/** One line of the table. */
export interface Row {
  readonly title: string
  readonly metric: string
  readonly target: Target
  /** The peer and ours are compared by what they cost beyond the floor. */
  readonly beyondFloor?: boolean
  /** A cost as people read it. */
  readonly show: (cost: number) => string
}

/** For a case that has another floor than the one before it. */
export const SAME_CLIENT = "its client does the work of another case"

/** Something to measure, for each contender in a process of its own. */
export interface BenchCase {
  /** What `--only` names. */
  readonly name: string
  readonly rows: readonly Row[]
  readonly floor?: (job: Job) => Promise<Costs>
  readonly client: (client: Client, job: Job) => Promise<Costs>
  /** Left out where the published client has nothing like it. */
  readonly withoutPeer?: boolean
  /** The server to measure against; default the minimal one. */
  readonly server?: "minimal" | "reference"
  /** Why `--quick` leaves it out, by name. */
  readonly notQuick?: string
  /** Why this machine cannot run it; undefined if it can. */
  readonly missing?: () => string | undefined
}
