import puppeteer, { type Browser } from "puppeteer-core"
import { IS_LOADED, untilTrue, type PlainBrowser, type PlainTab } from "./plain-browser.ts"

/** Starts Firefox and speaks WebDriver BiDi with it. */
export async function startFirefox(executablePath: string): Promise<PlainBrowser> {
  const browser = await puppeteer.launch({
    browser: "firefox",
    executablePath,
    headless: true,
    extraPrefsFirefox: {
      // Nothing is asked of the internet.
      "network.connectivity-service.enabled": false,
      "network.captive-portal-service.enabled": false,
    },
  })
  return {
    open: (url) => openTab(browser, url),
    stop: () => browser.close(),
  }
}

async function openTab(browser: Browser, url: string): Promise<PlainTab> {
  const page = await browser.newPage()
  const evaluate = (expression: string) => page.evaluate(expression)
  const goTo = async (target: string) => {
    await page.goto(target)
    await untilTrue(() => evaluate(IS_LOADED))
  }
  await goTo(url)
  return {
    evaluate: async <T>(expression: string) => (await evaluate(expression)) as T,
    hide: () => browser.newPage().then(() => undefined),
    show: () => page.bringToFront(),
    goTo,
    goBack: () => evaluate("history.back()").then(() => undefined),
    close: () => page.close({ runBeforeUnload: true }),
  }
}
