// @vitest-environment happy-dom
import { describe } from "vitest"
import { itReadsAndWritesHere } from "./dom-environment.ts"

describe("In happy-dom", itReadsAndWritesHere)
