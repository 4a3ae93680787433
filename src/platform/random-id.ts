/** An identifier that nobody else will make: 128 random bits in hexadecimal. Not a secret. */
export function randomId(): string {
  const bytes = new Uint8Array(16)
  // Node 18 has no global crypto; uniqueness, all that is wanted here, does not need it.
  if (typeof globalThis.crypto?.getRandomValues === "function") {
    globalThis.crypto.getRandomValues(bytes)
  } else {
    for (let i = 0; i < bytes.length; i++) bytes[i] = Math.floor(Math.random() * 256)
  }
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")
}
