import type { Payload, PayloadRead } from "../../src/read/page.ts"

/** All the bytes of a payload, or what it failed with. */
export async function readPayload(
  payload: Payload,
): Promise<{ kind: "whole"; bytes: Uint8Array } | Extract<PayloadRead, { kind: "failed" }>> {
  const parts: Uint8Array[] = []
  for (;;) {
    const part = await payload.read()
    if (part.kind === "failed") return part
    if (part.kind === "end") return { kind: "whole", bytes: Uint8Array.from(Buffer.concat(parts)) }
    parts.push(part.bytes)
  }
}
