/** `Symbol.asyncDispose`, also where the platform does not have it yet (Node 18, Safari), as compilers spell it there. */
export const asyncDispose: typeof Symbol.asyncDispose =
  // The platform's type says that it is always there.
  Symbol.asyncDispose ??
  // What `await using` compiles to looks for this key where the symbol is missing.
  (Symbol.for("Symbol.asyncDispose") as typeof Symbol.asyncDispose)
