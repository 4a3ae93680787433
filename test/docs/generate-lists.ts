import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { markdownFiles, readText, REPOSITORY } from "./code-block.ts"
import { Docstrings } from "./generated-lists.ts"

const docstrings = new Docstrings()
for (const file of markdownFiles()) {
  const text = readText(file)
  const filled = docstrings.fill(text)
  if (filled === text) continue
  writeFileSync(join(REPOSITORY, file), filled)
  console.log(`${file}: written`)
}
