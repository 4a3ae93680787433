/**
 * Where in a stream's content a reader can be that was given `delivered` from `start` on, if a CR arrives as LF and a CR LF
 * as one LF or two: the positions after each unit that was delivered. Undefined if the content does not read like this.
 */
export function readWithoutReturns(
  whole: string,
  start: number,
  delivered: string,
): ReadonlyArray<readonly number[]> | undefined {
  const steps: number[][] = [[start]]
  for (const unit of delivered) {
    const next = new Set<number>()
    for (const position of steps.at(-1) ?? []) {
      const stored = whole[position]
      if (stored === unit) next.add(position + 1)
      if (unit !== "\n" || stored !== "\r") continue
      next.add(position + 1)
      if (whole[position + 1] === "\n") next.add(position + 2)
    }
    if (next.size === 0) return undefined
    steps.push([...next].sort((a, b) => a - b))
  }
  return steps
}
