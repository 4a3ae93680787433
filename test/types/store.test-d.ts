import { describe, expectTypeOf, it } from "vitest"
import { useDurableStream, type useStreamWriter } from "../../src/react/index.ts"
import {
  createStreamStore,
  localStoragePersistence,
  type StreamPersistence,
  type StreamStore,
  type StreamStoreOptions,
  type StreamStoreState,
} from "../../src/store/index.ts"

const url = "https://streams.example.com/chat"

describe("a view", () => {
  it("has the type of `initial` and of what `reduce` returns", () => {
    const store = createStreamStore({
      url,
      initial: [] as string[],
      reduce: (texts, message: { text: string }) => [...texts, message.text],
    })
    expectTypeOf(store).toEqualTypeOf<StreamStore<string[]>>()
    expectTypeOf(store.getState()).toEqualTypeOf<StreamStoreState<string[]>>()
    expectTypeOf(store).toExtend<AsyncDisposable>()
  })

  it("gives `reduce` messages of an unknown type if none is named", () => {
    createStreamStore({
      url,
      initial: 0,
      reduce: (count, message) => {
        expectTypeOf(message).toEqualTypeOf<unknown>()
        return count + 1
      },
    })
  })

  it("takes the options of stream(), but for where and whether it follows", () => {
    type Options = StreamStoreOptions<number>
    expectTypeOf<Options>().toExtend<{ headers?: unknown; live?: unknown; onError?: unknown }>()
    expectTypeOf<Options>().not.toHaveProperty("offset")
    expectTypeOf<Options["live"]>().toEqualTypeOf<true | "sse" | "long-poll" | undefined>()
  })

  it("is a store of React and of Svelte", () => {
    const store = createStreamStore({ url, initial: 0, reduce: (n: number) => n })
    expectTypeOf(store).toExtend<{
      subscribe: (run: (value: number) => void) => () => void
      getSnapshot: () => number
    }>()
    expectTypeOf(localStoragePersistence("ada")).toExtend<StreamPersistence>()
  })
})

describe("the hooks", () => {
  it("return the view, its status and its error", () => {
    const use = () => useDurableStream({ url, initial: 0, reduce: (sum, n: number) => sum + n })
    expectTypeOf(use).returns.toExtend<{ data: number; status: string; error: unknown }>()
    expectTypeOf(use).returns.toHaveProperty("refresh")
  })

  it("write any message", () => {
    expectTypeOf<ReturnType<typeof useStreamWriter>["append"]>().parameter(0).toBeUnknown()
    expectTypeOf<ReturnType<typeof useStreamWriter>["append"]>().returns.resolves.toExtend<{
      duplicate: boolean
    }>()
  })
})
