/** What the tests call: shows the example with a stream, and takes it away. */
export interface ShownExample {
  show(url: string): void
  remove(): void
}

declare global {
  interface Window {
    example: ShownExample
  }
}

export function showInPage(example: ShownExample): void {
  window.example = example
}
