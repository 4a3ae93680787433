/** What the stream holds: one JSON message for each. */
export interface Order {
  readonly id: number
  readonly product: string
  readonly quantity: number
}
