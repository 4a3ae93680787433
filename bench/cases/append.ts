import type { BenchCase } from "../case.ts"
import { scaled, timed } from "../timed.ts"
import { perSecond } from "../units.ts"
import { expectReceived, messages, postAll, sinkUrl } from "./sink-stream.ts"

const MESSAGE_BYTES = 100

/** Calls that nobody waits for before the next one. */
export const appendCases: readonly BenchCase[] = [
  {
    name: "append",
    rows: [
      {
        title: "append() un-awaited, 100 k strings of 100 B, JSON",
        metric: "time",
        target: { timesPeer: 1.5 },
        show: perSecond("msg"),
      },
    ],
    async floor({ serverUrl, scale }) {
      const count = scaled(100_000, scale)
      const texts = messages(count, MESSAGE_BYTES)
      const url = sinkUrl(serverUrl, "json")
      return timed(count, () =>
        postAll(url, "application/json", [texts[0] ?? "", `[${texts.slice(1).join(",")}]`]),
      )
    },
    async client({ DurableStream }, { serverUrl, scale }) {
      const count = scaled(100_000, scale)
      const texts = messages(count, MESSAGE_BYTES)
      const url = sinkUrl(serverUrl, "json")
      const handle = new DurableStream({ url, contentType: "application/json", warnOnHttp: false })
      const costs = await timed(count, () => Promise.all(texts.map((text) => handle.append(text))))
      await expectReceived(url, texts.join("").length)
      return costs
    },
  },
]
