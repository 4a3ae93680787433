import type { Delivery } from "./delivery.ts"

/** The batches that are not settled, in order. A linked list: every step costs the same, however many wait. */
export class Backlog {
  #first: Delivery | undefined
  #last: Delivery | undefined
  #size = 0

  /** The batch whose turn it is: everything before it is settled. */
  get first(): Delivery | undefined {
    return this.#first
  }

  get size(): number {
    return this.#size
  }

  push(delivery: Delivery): void {
    delivery.previous = this.#last
    if (this.#last === undefined) this.#first = delivery
    else this.#last.next = delivery
    this.#last = delivery
    this.#size++
  }

  remove(delivery: Delivery): void {
    const { previous, next } = delivery
    if (previous === undefined) this.#first = next
    else previous.next = next
    if (next === undefined) this.#last = previous
    else next.previous = previous
    delivery.previous = undefined
    delivery.next = undefined
    this.#size--
  }

  /** Puts deliveries in the place of the first one. */
  replaceFirst(replacements: readonly Delivery[]): void {
    const first = this.#first
    if (first === undefined) return
    this.remove(first)
    for (const delivery of [...replacements].reverse()) this.#unshift(delivery)
  }

  *[Symbol.iterator](): Generator<Delivery, void> {
    for (let link = this.#first; link !== undefined; link = link.next) yield link
  }

  #unshift(delivery: Delivery): void {
    delivery.next = this.#first
    if (this.#first === undefined) this.#last = delivery
    else this.#first.previous = delivery
    this.#first = delivery
    this.#size++
  }
}
