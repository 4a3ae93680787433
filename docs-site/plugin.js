import { readFileSync } from "node:fs"
import { Converter, ReflectionKind } from "typedoc"

/** What the package's readers call things, in the order in which they meet them. */
export function load(app) {
  // A guide is named after its first heading, not after its file.
  app.converter.on(Converter.EVENT_CREATE_DOCUMENT, (_context, document) => {
    const [first] = document.content
    const heading = /^# (.+)$/m.exec(first?.text ?? "")
    if (heading !== null) document.name = heading[1]
  })
  // An entry point is named after what is imported, not after its folder.
  app.converter.on(Converter.EVENT_RESOLVE_BEGIN, ({ project }) => {
    for (const module of project.getReflectionsByKind(ReflectionKind.Module)) {
      module.name = module.name === "index" ? "client" : `client/${module.name}`
    }
    const titles = titlesInOrder()
    // The navigation keeps the order of this list; what is no guide is sorted by its kind.
    project.childrenIncludingDocuments?.sort(
      (one, other) => titles.indexOf(one.name) - titles.indexOf(other.name),
    )
  })
}

/** The guides' titles, in the order of their list. */
function titlesInOrder() {
  const list = readFileSync("docs/README.md", "utf8")
  const files = [
    "README.md",
    ...Array.from(list.matchAll(/^\| \[.+?\]\((.+?)\)/gm), ([, file]) => file),
  ]
  return files.map((file) => /^# (.+)$/m.exec(readFileSync(`docs/${file}`, "utf8"))?.[1])
}
