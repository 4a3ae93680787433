import type { Page } from "playwright-core"

/** WCAG's AA for text that is not large. */
const ENOUGH = 4.5

/** The texts of a page that have less contrast than AA asks for, each with its ratio. */
export function lowContrasts(page: Page): Promise<string[]> {
  return page.evaluate((enough) => {
    const context = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true })!
    const paint = (color: string, opacity = 1) => {
      context.globalAlpha = opacity
      context.fillStyle = color
      context.fillRect(0, 0, 1, 1)
      const [red = 0, green = 0, blue = 0] = [...context.getImageData(0, 0, 1, 1).data].map(
        (value) => {
          const part = value / 255
          return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4
        },
      )
      return 0.2126 * red + 0.7152 * green + 0.0722 * blue
    }
    /** With everything behind it painted in order. */
    const ratioOf = (element: Element, color: string) => {
      const ancestors: CSSStyleDeclaration[] = []
      for (let at: Element | null = element; at !== null; at = at.parentElement) {
        ancestors.unshift(getComputedStyle(at))
      }
      let behind = paint("white")
      let opacity = 1
      for (const style of ancestors) {
        opacity *= Number(style.opacity)
        behind = paint(style.backgroundColor, opacity)
      }
      const text = paint(color, opacity)
      return (Math.max(text, behind) + 0.05) / (Math.min(text, behind) + 0.05)
    }
    const low: string[] = []
    for (const element of document.querySelectorAll("body *")) {
      const isShown = element.checkVisibility() && element.clientWidth !== 1
      const hasText = [...element.childNodes].some(
        ({ nodeType, textContent }) => nodeType === Node.TEXT_NODE && textContent?.trim() !== "",
      )
      const pseudo = element instanceof HTMLInputElement ? "::placeholder" : undefined
      if (!isShown || (!hasText && pseudo === undefined)) continue
      const ratio = ratioOf(element, getComputedStyle(element, pseudo).color)
      if (ratio < enough) low.push(`${element.className || element.tagName}: ${ratio.toFixed(2)}`)
    }
    return [...new Set(low)]
  }, ENOUGH)
}
