// @vitest-environment jsdom
import * as react from "react"
import * as client from "react-dom/client"
import * as server from "react-dom/server"
import { describe, expect, it } from "vitest"
import * as hooks from "../../../src/react/index.ts"
import { itHooksInto } from "./hooks.ts"

describe("React 19", () => {
  it("is what is tested", () => {
    expect(react.version).toMatch(/^19\./)
  })
  itHooksInto({ react, client, server, hooks })
})
