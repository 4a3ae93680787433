/** A message of this example's streams. */
export interface Order {
  id: string
  product: string
  quantity: number
}

/** Each subscription is worked on by one worker at a time: four let four workers work at once. */
export const SUBSCRIPTIONS = ["shop-0", "shop-1", "shop-2", "shop-3"]
