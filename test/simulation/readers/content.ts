import type { ModelServer } from "../../../src/testing/server.ts"
import type { SeededRandom } from "../../support/seeded-random.ts"
import type { VirtualClock } from "../../support/virtual-clock.ts"
import type { ContentKind, ReaderScenario } from "./scenario.ts"

/** The url of that stream. */
export const STREAM_URL = "http://model.test/readers/stream"

const encoder = new TextEncoder()

/** Writes random content to the model's stream and knows all of it. Not by way of the network: the writer is no part of it. */
export class ContentWriter {
  readonly #server: ModelServer
  readonly #scenario: ReaderScenario
  readonly #random: SeededRandom
  /** The half of a character that an append has left for the next one. */
  #carried = new Uint8Array()

  constructor(server: ModelServer, scenario: ReaderScenario, random: SeededRandom) {
    this.#server = server
    this.#scenario = scenario
    this.#random = random
  }

  async create(): Promise<void> {
    await this.#send("PUT", new Uint8Array(), {})
    for (let count = 0; count < this.#scenario.storedAppends; count++) await this.append()
  }

  async append(): Promise<void> {
    const body = this.#content()
    if (body.length > 0) await this.#send("POST", body, {})
  }

  /** Append what is to be appended while the reader reads, and close. */
  async live(clock: VirtualClock): Promise<void> {
    const { liveAppends, appendGapMs, closes, closesWithContent } = this.#scenario
    for (let count = 0; count < liveAppends; count++) {
      await clock.sleep(this.#random.int(0, appendGapMs))
      await this.append()
    }
    await clock.sleep(this.#random.int(0, appendGapMs))
    if (!closes) return
    const rest = this.#carried
    this.#carried = new Uint8Array()
    const last = closesWithContent && rest.length === 0 ? this.#wholeContent() : rest
    await this.#send("POST", last, { "stream-closed": "true" })
  }

  #content(): Uint8Array<ArrayBuffer> {
    const whole = this.#wholeContent()
    if (!this.#scenario.splitsCharacters) return whole
    const joined = new Uint8Array([...this.#carried, ...whole])
    const cut = this.#random.int(0, joined.length)
    this.#carried = joined.slice(cut)
    return joined.slice(0, cut)
  }

  #wholeContent(): Uint8Array<ArrayBuffer> {
    const random = this.#random
    switch (this.#scenario.content) {
      case "bytes":
        return random.bytes(random.int(1, 40))
      case "text":
        return encoder.encode(this.#withReturns(randomText(random, random.int(1, 20))))
      case "json": {
        const messages = Array.from({ length: random.int(1, 5) }, () => randomMessage(random))
        return encoder.encode(JSON.stringify(messages))
      }
    }
  }

  #withReturns(text: string): string {
    const random = this.#random
    // Seldom: only who has seen other lines before could take these for the same.
    if (!this.#scenario.returnsCarriage || random.chance(0.8)) return text
    const lines = text.split("\n")
    const ended = lines.map((line, index) => {
      return index === 0 ? line : random.pick(["\n", "\r\n", "\r"]) + line
    })
    return ended.join("") + random.pick(["", "\r", "\r\n"])
  }

  async #send(method: string, body: Uint8Array, headers: Record<string, string>): Promise<void> {
    const response = await this.#server.handle({
      method,
      url: new URL(STREAM_URL),
      headers: new Map(Object.entries({ "content-type": this.#scenario.contentType, ...headers })),
      body,
    })
    if (response.status >= 300) throw new Error(`the writer got ${response.status}`)
  }
}

/** Text with everything that readers stumble over, but for CR. */
function randomText(random: SeededRandom, length: number): string {
  const text = random.text(length)
  const spice = random.weighted({ none: 10, bom: 1, replacement: 1, control: 1 })
  if (spice === "bom") return `\uFEFF${text}`
  if (spice === "replacement") return `${text}\uFFFD`
  return spice === "control" ? `${text}\n\nevent: control\n\n` : text
}

function randomMessage(random: SeededRandom): unknown {
  switch (random.int(0, 5)) {
    case 0:
      return random.int(-5, 1000)
    case 1:
      return null
    case 2:
      return [random.int(0, 9), [randomText(random, 3)]]
    case 3:
      return { id: random.int(0, 1_000_000), text: randomText(random, 8) }
    default:
      return randomText(random, random.int(0, 12))
  }
}

/** The whole content as the checks compare it: serialized messages, or one character a byte. */
export function contentUnits(server: ModelServer, kind: ContentKind): readonly string[] | string {
  const stream = server.stream("/readers/stream")
  if (kind === "json") return stream.messages
  return bytesAsText(stream.slice(0, stream.length))
}

/** Bytes as a string of one character each: comparable, sliceable, printable. */
export function bytesAsText(bytes: Uint8Array): string {
  let text = ""
  for (const byte of bytes) text += String.fromCharCode(byte)
  return text
}
