// @vitest-environment jsdom
import { createRequire } from "node:module"
import { join } from "node:path"
import { describe, expect, it, vi } from "vitest"
import { installLocked } from "../../support/install-locked.ts"
import { itHooksInto, type ReactVersion } from "./hooks.ts"

const folder = join(import.meta.dirname, "react-18")
await installLocked(folder)
// Its types are those of React 19, as far as the tests use them.
const load = createRequire(join(folder, "package.json"))
const react: ReactVersion["react"] = load("react")
vi.doMock("react", () => ({ ...react, default: react }))
const hooks = await import("../../../src/react/index.ts")

describe("React 18", () => {
  it("is what is tested", () => {
    expect(react.version).toMatch(/^18\./)
  })
  itHooksInto({ react, client: load("react-dom/client"), server: load("react-dom/server"), hooks })
})
