const ANIMALS = ["Otter", "Heron", "Beaver", "Dipper", "Salmon", "Newt", "Kingfisher", "Crayfish"]

/** Who this tab is: another tab is somebody else, the same tab after a reload is not. */
export function myName(): string {
  const known = sessionStorage.getItem("name")
  if (known !== null) return known
  const name = ANIMALS[Math.floor(Math.random() * ANIMALS.length)] ?? "Otter"
  sessionStorage.setItem("name", name)
  return name
}
