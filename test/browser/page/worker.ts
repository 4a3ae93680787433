import { tail, type TailReport, type TailRequest } from "./tails.ts"

/** Tails as it is asked to, in a worker or a shared worker, and reports what comes. */
function serve(port: Pick<MessagePort, "postMessage"> & { onmessage: unknown }): void {
  port.onmessage = ({ data: { name, options } }: MessageEvent<TailRequest>) =>
    void tail(options, (record) => port.postMessage({ name, record } satisfies TailReport))
}

if ("onconnect" in globalThis) {
  // A connection to a shared worker is a message with one port.
  addEventListener("connect", (event) => serve((event as MessageEvent).ports[0] as MessagePort))
} else {
  // The program's types are those of a page, and this is a worker.
  serve(globalThis as unknown as Worker)
}
