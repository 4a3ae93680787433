import { createApp, h, shallowRef } from "vue"
// @ts-expect-error -- compiled by Vite
import Room from "../../../examples/frameworks/vue-room.vue"
import { showInPage } from "./show-in-page.ts"

const url = shallowRef("")
const app = createApp(() => url.value !== "" && h(Room, { key: url.value, url: url.value }))
app.mount("#app")

showInPage({
  show: (next) => (url.value = next),
  remove: () => app.unmount(),
})
