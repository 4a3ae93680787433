export { createTestServer } from "./test-server.ts"
export type { TestServer, TestServerOptions, TestStream } from "./test-server.ts"
export type { DropOptions, FailOptions, FaultOptions } from "./faults.ts"
