const ANIMALS = ["Otter", "Heron", "Beaver", "Dipper", "Salmon", "Newt", "Kingfisher", "Crayfish"]

const KEY = "name"

/**
 * Who this tab is: after a reload the same, in another tab somebody else. A tab that is duplicated copies its sessionStorage, so the name
 * is there only between two pages of a tab.
 */
export function myName(): string {
  const name = sessionStorage.getItem(KEY) ?? newName()
  sessionStorage.removeItem(KEY)
  addEventListener("pagehide", () => sessionStorage.setItem(KEY, name))
  addEventListener("pageshow", () => sessionStorage.removeItem(KEY))
  return name
}

function newName(): string {
  const animal = ANIMALS[Math.floor(Math.random() * ANIMALS.length)] ?? "Otter"
  return `${animal} ${100 + Math.floor(Math.random() * 900)}`
}
