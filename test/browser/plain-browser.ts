/** A tab of a {@link PlainBrowser}. */
export interface PlainTab {
  /** Evaluates an expression, waits for its promise, and gives its value as plain data. */
  evaluate<T>(expression: string): Promise<T>
  /** Turns to another tab, or puts its window aside: the page is hidden. */
  hide(): Promise<void>
  /** Brings it to the front again. */
  show(): Promise<void>
  /** Leaves its page for another one, as by a link, and waits until that is loaded. */
  goTo(url: string): Promise<void>
  /** Goes back to the page of before, as its user does. */
  goBack(): Promise<void>
  /** Closes it as its user does. */
  close(): Promise<void>
}

/**
 * A browser whose tabs can be hidden as by a user: under Playwright every page believes that it is in front, and none is
 * kept in the back/forward cache.
 */
export interface PlainBrowser {
  /** Opens a visible tab and waits until its page is loaded. */
  open(url: string): Promise<PlainTab>
  stop(): Promise<void>
}

/** The expression that is true once a page is loaded. */
export const IS_LOADED = `document.readyState === "complete" && location.href !== "about:blank"`

/** Waits until an evaluation gives true; one that fails in a page that is being left counts as false. */
export async function untilTrue(evaluate: () => Promise<unknown>): Promise<void> {
  const lateAt = Date.now() + 40_000
  for (;;) {
    const isTrue = await evaluate().catch(() => false)
    if (isTrue === true) return
    if (Date.now() > lateAt) throw new Error("The page did not come to the expected state")
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}
