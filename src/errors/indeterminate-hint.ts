/** What to do if a write is indeterminate. */
export const INDETERMINATE_HINT = "The write may have succeeded. Check the stream before retrying."
