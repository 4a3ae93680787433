import { createElement, StrictMode } from "react"
import { createRoot } from "react-dom/client"
import { Chime, Room } from "../../../examples/frameworks/react.tsx"
import { showInPage } from "./show-in-page.ts"

const root = createRoot(document.querySelector("#app")!)
let chimes = 0
const play = () => {
  document.title = `${++chimes} chimes`
}

showInPage({
  show: (url) =>
    root.render(
      createElement(
        StrictMode,
        undefined,
        createElement(Room, { url }),
        createElement(Chime, { url, play }),
      ),
    ),
  remove: () => root.unmount(),
})
