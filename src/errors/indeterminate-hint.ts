/** What to do where nobody can say whether a write was done. */
export const INDETERMINATE_HINT = "It may have been done all the same: look before you repeat it."
