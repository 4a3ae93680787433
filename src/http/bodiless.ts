const bodilessStatuses: readonly number[] = [204, 205, 304]

/** Whether answers with a status have no body: the platform makes no Response of one that has. */
export function isBodiless(status: number): boolean {
  return bodilessStatuses.includes(status)
}
