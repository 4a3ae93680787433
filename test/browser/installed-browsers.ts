import { existsSync } from "node:fs"
import { findChromium, startChromium } from "./chromium.ts"
import { startFirefox } from "./firefox.ts"
import type { PlainBrowser } from "./plain-browser.ts"
import { startWebKit } from "./webkit.ts"

/** A browser that the tests know. */
export interface KnownBrowser {
  readonly name: "Chromium" | "Firefox" | "WebKit"
  /** The Debian packages to install if it is missing. */
  readonly packages: string
  /** Starts it; undefined if it is not installed. */
  readonly start: (() => Promise<PlainBrowser>) | undefined
}

/** The browsers that the tests know, where the environment (CHROMIUM_PATH, FIREFOX_PATH) says or where Debian puts them. */
export function knownBrowsers(): KnownBrowser[] {
  const chromium = findChromium()
  const firefox = firstOf(process.env.FIREFOX_PATH, "/usr/bin/firefox-esr", "/usr/bin/firefox")
  const driver = firstOf("/usr/bin/WebKitWebDriver")
  const browser = firstOf(
    ...["x86_64", "aarch64"].map(
      (machine) => `/usr/lib/${machine}-linux-gnu/webkit2gtk-4.1/MiniBrowser`,
    ),
  )
  const screen = firstOf("/usr/bin/Xvfb")
  const hasWebKit = driver !== undefined && browser !== undefined && screen !== undefined
  return [
    {
      name: "Chromium",
      packages: "chromium",
      start: chromium === undefined ? undefined : () => startChromium(chromium),
    },
    {
      name: "Firefox",
      packages: "firefox-esr",
      start: firefox === undefined ? undefined : () => startFirefox(firefox),
    },
    {
      name: "WebKit",
      packages: "webkit2gtk-driver xvfb",
      start: hasWebKit ? () => startWebKit({ driver, browser, screen }) : undefined,
    },
  ]
}

function firstOf(...paths: readonly (string | undefined)[]): string | undefined {
  return paths.find((path) => path !== undefined && existsSync(path))
}
