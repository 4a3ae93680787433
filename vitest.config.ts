import { defineConfig } from "vitest/config"

/** A project named after its folder: `vitest run --project unit` runs test/unit. */
function folder(name: string, options: { testTimeout?: number; globalSetup?: string } = {}) {
  return {
    extends: true as const,
    test: { name, include: [`test/${name}/**/*.test.ts`], ...options },
  }
}

export default defineConfig({
  test: {
    pool: "forks",
    maxWorkers: 2,
    testTimeout: 30_000,
    hookTimeout: 30_000,
    // A condition that is waited for comes late on a busy machine.
    expect: { poll: { timeout: 20_000 } },
    // A test that passes at the second try has failed.
    retry: 0,
    projects: [
      folder("unit"),
      folder("property"),
      folder("integration"),
      folder("databases", { testTimeout: 120_000, globalSetup: "test/databases/install.ts" }),
      folder("simulation", { testTimeout: 120_000 }),
      folder("docs", { testTimeout: 60_000 }),
      folder("package", { testTimeout: 120_000, globalSetup: "test/package/install.ts" }),
      folder("browser", { testTimeout: 60_000, globalSetup: "test/browser/setup.ts" }),
      folder("runtimes", { testTimeout: 120_000, globalSetup: "test/runtimes/install.ts" }),
      {
        extends: true,
        test: {
          name: "types",
          include: [],
          typecheck: {
            enabled: true,
            only: true,
            include: ["test/types/**/*.test-d.ts"],
            tsconfig: "tsconfig.type-tests.json",
          },
        },
      },
    ],
  },
})
