import { Converter } from "typedoc"

/** A guide is named after its first heading, not after its file. */
export function load(app) {
  app.converter.on(Converter.EVENT_CREATE_DOCUMENT, (_context, document) => {
    const [first] = document.content
    const heading = /^# (.+)$/m.exec(first?.text ?? "")
    if (heading !== null) document.name = heading[1]
  })
}
