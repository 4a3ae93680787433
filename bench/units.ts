/** Milliseconds for one unit as units a second. */
export function perSecond(unit: string): (msPerUnit: number) => string {
  return (msPerUnit) => `${short(1000 / msPerUnit)} ${unit}/s`
}

/** Milliseconds for one byte as megabytes a second. */
export function megabytesPerSecond(msPerByte: number): string {
  return `${(1000 / msPerByte / 1e6).toFixed(0)} MB/s`
}

/** A duration. */
export function milliseconds(ms: number): string {
  return ms < 10 ? `${ms.toFixed(2)} ms` : `${ms.toFixed(0)} ms`
}

/** A size of memory. */
export function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(0)} MB`
}

/** A size of a file or a small object. */
export function kilobytes(bytes: number): string {
  return `${(bytes / 1e3).toFixed(2)} KB`
}

function short(count: number): string {
  if (count >= 1e6) return `${(count / 1e6).toFixed(2)} M`
  if (count >= 1e3) return `${(count / 1e3).toFixed(0)} k`
  return count.toFixed(1)
}
