// Needs React Native. It has no document: AppState says when the app is in the background, and reading pauses there.
import { AppState, FlatList, Text } from "react-native"
import type { VisibilitySource } from "@durable-streams/client"
import { useDurableStream } from "@durable-streams/client/react"

const appVisibility: VisibilitySource = {
  get hidden() {
    return AppState.currentState === "background"
  },
  subscribe(onChange) {
    const subscription = AppState.addEventListener("change", onChange)
    return () => subscription.remove() // a function, where AppState gives an object
  },
}

export function Room({ url }: { url: string }) {
  const { data, status } = useDurableStream({
    url,
    initial: [] as string[],
    reduce: (texts, { text }: { text: string }) => [...texts, text],
    pauseWhenHidden: appVisibility,
  })
  return (
    <>
      <Text>{status}</Text>
      <FlatList data={data} renderItem={({ item }) => <Text>{item}</Text>} />
    </>
  )
}
