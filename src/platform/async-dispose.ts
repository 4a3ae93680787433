/** `Symbol.asyncDispose`, also where the platform does not have it yet (Node 18, Safari), as compilers spell it there. */
export const asyncDispose: typeof Symbol.asyncDispose =
  // The platform's type says that it is always there.
  Symbol.asyncDispose ??
  // What `await using` compiles to looks for this key where the symbol is missing.
  (Symbol.for("Symbol.asyncDispose") as typeof Symbol.asyncDispose)

/**
 * For the constructor of a class with a method `[Symbol.asyncDispose]`. If the platform lacks the symbol (Node 18.17, Safari),
 * the method also gets the key that compiled `await using` looks for there. (A bundler cannot drop a class whose computed key
 * is a variable, so the class itself cannot choose the key.)
 */
export function supportAsyncDispose(disposable: AsyncDisposable): void {
  // The platform's type says that it is always there.
  if (typeof Symbol.asyncDispose === "symbol") return
  Object.defineProperty(disposable, Symbol.for("Symbol.asyncDispose"), {
    value: disposable[Symbol.asyncDispose],
  })
}
