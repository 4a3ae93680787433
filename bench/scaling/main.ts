/**
 * Many readers of one stream behind a cache, and how many of their requests reach the server: `npm run scaling`, or
 * `npm run scaling -- 400 2` for 400 readers in two processes. Needs nginx. docs/scaling.md says what follows from it.
 */
import { hasNginx } from "../../test/support/nginx.ts"
import { measureCatchUp, measureLive, type PhaseCost } from "./measure-scaling.ts"

if (!hasNginx()) {
  console.error("nginx is not installed (apt-get install nginx)")
  process.exit(1)
}
const [readers = 2000, processes = 4] = process.argv.slice(2).map(Number)
const fleet = { readers, processes }

print("phase", "readers", "at nginx", "at the server", "lag p50, p99")
for (const measure of [
  () => measureCatchUp(fleet, 1),
  () => measureCatchUp(fleet, 4),
  () => measureLive(fleet, "long-poll"),
  () => measureLive(fleet, "sse"),
])
  printCost(await measure())

function printCost({ title, readers: count, atCache, atOrigin, lags }: PhaseCost): void {
  const sorted = [...lags].sort((a, b) => a - b)
  const at = (share: number) => `${sorted[Math.floor(sorted.length * share)]} ms`
  const lag = sorted.length === 0 ? "–" : `${at(0.5)}, ${at(0.99)}`
  print(title, String(count), String(atCache), String(atOrigin), lag)
}

function print(title: string, ...cells: string[]): void {
  console.log(title.padEnd(34) + cells.map((cell) => cell.padStart(16)).join(""))
}
