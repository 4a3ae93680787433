const SHARED = "[object SharedArrayBuffer]"

/**
 * The bytes of a value that holds some: an ArrayBuffer or any view of one, of whatever realm (a test environment, a
 * frame), where `instanceof Uint8Array` would say no. Always a plain Uint8Array: the `slice` of Node's Buffer is no copy.
 *
 * @returns a view of the same memory, or a copy of shared memory, which others can change at any time and browsers refuse to
 *   decode; undefined where the value holds no bytes
 */
export function byteView(value: unknown): Uint8Array | undefined {
  if (ArrayBuffer.isView(value)) {
    const { buffer, byteOffset, byteLength } = value
    if (!(buffer instanceof ArrayBuffer) && tagOf(buffer) === SHARED) {
      return new Uint8Array(buffer, byteOffset, byteLength).slice()
    }
    // Its prototype says what it is.
    if (Object.getPrototypeOf(value) === Uint8Array.prototype) return value as Uint8Array
    return new Uint8Array(buffer, byteOffset, byteLength)
  }
  const tag = tagOf(value)
  // The tag says what it is; the compiler cannot follow it there.
  if (tag === SHARED) return new Uint8Array(value as SharedArrayBuffer).slice()
  // The same here.
  return tag === "[object ArrayBuffer]" ? new Uint8Array(value as ArrayBuffer) : undefined
}

/** What `Object.prototype.toString` calls a value; an empty string for a proxy that was revoked. */
export function tagOf(value: unknown): string {
  try {
    return Object.prototype.toString.call(value)
  } catch {
    return ""
  }
}

export function joinBytes(chunks: readonly Uint8Array[]): Uint8Array {
  const [first] = chunks
  if (first !== undefined && chunks.length === 1) return first
  const joined = allocateBytes(chunks.reduce((size, chunk) => size + chunk.byteLength, 0))
  let position = 0
  for (const chunk of chunks) {
    joined.set(chunk, position)
    position += chunk.byteLength
  }
  return joined
}

/**
 * Bytes with any content, all of which the caller overwrites. Node saves the zeros: joining chunks to 1 MB takes 0.2 ms in place
 * of 0.6.
 */
function allocateBytes(size: number): Uint8Array<ArrayBuffer> {
  // Not the plain name: bundlers for browsers would add a Buffer.
  const { Buffer: nodeBuffer } = globalThis as {
    Buffer?: { allocUnsafeSlow?(size: number): Uint8Array<ArrayBuffer> }
  }
  const bytes = nodeBuffer?.allocUnsafeSlow?.(size)
  return bytes?.buffer.byteLength === size ? new Uint8Array(bytes.buffer) : new Uint8Array(size)
}
