/**
 * What the platforms say where `fetch` makes no request at all: of its URL, method, body, headers, or of a page's rules, which
 * a preflight is asked about before. Only what is known to be said then and at no other time: a layer of the caller's that
 * stumbles over the answer throws a TypeError too, and by then the request has had its effect.
 */
const refusalWordings: readonly RegExp[] = [
  // Browsers put the function in front of what they check before they begin.
  /^Failed to (execute 'fetch'|construct 'Request')|^(Window|\w*GlobalScope)\.fetch: /,
  /failed to parse url|fetch\(\) url is invalid|url scheme|unknown scheme|bad port/i,
  /invalid method|method is forbidden|http method|cannot have (a )?body|duplex\W+(option|member)/i,
  /invalid header|header '.*' has invalid value|bytestring/i,
  /content security policy|mixed content|preflight response|access-control-allow-(headers|methods)/i,
]

/** The same as codes. */
const refusalCodes = /^(UND_ERR_(INVALID_ARG|REQ_\w+)|ERR_INVALID_(CHAR|HTTP_TOKEN))$/

/** The server sends on and on: none of its answers is one. */
const redirectWordings =
  /redirect count|too many redirects|redirected too many|redirections|unexpected redirect|following redirect|invalid redirect/i

/**
 * What engines say of a mistake in a program. Everything else that a TypeError says is a network that failed: so the standard
 * has them all told, and each platform in words of its own, in Safari in the user's language.
 */
const mistakeWordings =
  /^the option fetch |^cannot (read|set|destructure|convert)|is not (a function|an object|iterable|a constructor)|undefined|\bnull\b|unusable|already (been )?(used|read)|disturbed or locked|\blocked\b|invalid state|illegal invocation/i

/** What the platforms' fetch says of a network that failed, in English. */
const networkWordings =
  /^(fetch failed|failed to fetch|load failed|network ?(error|request)|the (network|internet) connection|error sending request)/i

/** Wordings for a server that was never reached. */
const unreachedWordings =
  /tcp connect error: connection refused|dns error|ERR_NAME_NOT_RESOLVED|ERR_CONNECTION_REFUSED|hostname could not be found|could not connect to the server/i

/** Whether a code of the platform says that no request was made and none ever will be. */
export function isRefusalCode(code: string): boolean {
  return refusalCodes.test(code)
}

/** Whether a message says so. */
export function saysRefused(message: string): boolean {
  return refusalWordings.some((wording) => wording.test(message))
}

/** Whether it says that redirects led nowhere. */
export function saysRedirectLoop(message: string): boolean {
  return redirectWordings.test(message)
}

/** Whether it says that the server was never reached. */
export function saysUnreached(message: string): boolean {
  return unreachedWordings.test(message)
}

/** Whether a TypeError is a mistake in a program, and not a network that failed. */
export function saysMistake(message: string): boolean {
  return mistakeWordings.test(message)
}

/** Whether it is what a platform's fetch says of a network that failed. */
export function saysNetworkFailed(message: string): boolean {
  return networkWordings.test(message)
}
