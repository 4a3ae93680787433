import { tail, type TailOptions, type TailReport, type TailRequest } from "./tails.ts"

/** Where a page can have a tail beside itself; `sandbox` is a frame of an opaque origin. */
export type Elsewhere = "frame" | "sandbox" | "worker" | "shared-worker"

/** Ends a worker or a frame, as it is: without a word to it. */
export const closers: Record<string, () => void> = {}

/** Begins to tail elsewhere. */
export async function tailElsewhere(
  where: Elsewhere,
  name: string,
  options: TailOptions,
  onReport: (report: TailReport) => void,
): Promise<void> {
  const request: TailRequest = { name, options }
  const listen = ({ data }: MessageEvent<TailReport>) => onReport(data)
  if (where === "worker") {
    const worker = new Worker("/worker.js")
    worker.onmessage = listen
    worker.postMessage(request)
    closers[name] = () => worker.terminate()
  } else if (where === "shared-worker") {
    const { port } = new SharedWorker("/worker.js")
    port.onmessage = listen
    port.postMessage(request)
  } else {
    const frame = document.createElement("iframe")
    if (where === "sandbox") frame.setAttribute("sandbox", "allow-scripts")
    frame.src = "/"
    const isLoaded = new Promise((resolve) => frame.addEventListener("load", resolve))
    document.documentElement.append(frame)
    await isLoaded
    addEventListener("message", (event: MessageEvent<TailReport>) => {
      if (event.source === frame.contentWindow) listen(event)
    })
    frame.contentWindow?.postMessage(request, "*")
    closers[name] = () => frame.remove()
  }
}

/** In a frame: tails as the page asks it to. */
export function serveParent(): void {
  if (parent === window) return
  addEventListener("message", ({ data }: MessageEvent<TailRequest>) => {
    const { name, options } = data
    void tail(options, (record) => parent.postMessage({ name, record } satisfies TailReport, "*"))
  })
}
