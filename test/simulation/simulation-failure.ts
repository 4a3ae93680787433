/** A property that did not hold in a run; the seed replays it. */
export class SimulationFailure extends Error {
  override readonly name = "SimulationFailure"
  readonly seed: number

  constructor(seed: number, problems: readonly string[], story: readonly string[]) {
    super([`seed ${seed}:`, ...problems.map((problem) => `- ${problem}`), ...story].join("\n"))
    this.seed = seed
  }
}

/** How a run is to be told about. */
export interface RunOptions {
  /** Tell the scenario, every request and every event when the run fails. */
  verbose?: boolean
}
