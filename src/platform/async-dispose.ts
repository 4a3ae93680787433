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
