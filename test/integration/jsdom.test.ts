// @vitest-environment jsdom
import { describe } from "vitest"
import { itReadsAndWritesHere } from "./dom-environment.ts"

describe("In jsdom", itReadsAndWritesHere)
