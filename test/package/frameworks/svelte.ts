import { mount, unmount } from "svelte"
// @ts-expect-error -- compiled by Vite
import Room from "../../../examples/frameworks/svelte-room.svelte"
import { showInPage } from "./show-in-page.ts"

const target = document.querySelector("#app")!
let room: object | undefined

function remove(): void {
  if (room !== undefined) void unmount(room)
  room = undefined
}

showInPage({
  show(url) {
    remove()
    room = mount(Room, { target, props: { url } })
  },
  remove,
})
