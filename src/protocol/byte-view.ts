/**
 * The bytes of a value that holds some: an ArrayBuffer or any view of one, of whatever realm (a test environment, a
 * frame), where `instanceof Uint8Array` would say no.
 *
 * @returns a view of the same memory, or undefined where the value holds no bytes
 */
export function byteView(value: unknown): Uint8Array | undefined {
  if (value instanceof Uint8Array) return value
  if (ArrayBuffer.isView(value)) {
    return new Uint8Array(value.buffer, value.byteOffset, value.byteLength)
  }
  const tag = Object.prototype.toString.call(value)
  if (tag !== "[object ArrayBuffer]" && tag !== "[object SharedArrayBuffer]") return undefined
  // The tag says what it is; the compiler cannot follow it there.
  return new Uint8Array(value as ArrayBuffer)
}
