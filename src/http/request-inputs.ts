import { kindOf } from "./option-checks.ts"
import { DurableStreamError } from "../errors/durable-stream-error.ts"
import { DURABLE_STREAM_PROTOCOL_QUERY_PARAMS } from "../protocol/names.ts"
import { isWellFormed } from "../protocol/well-formed.ts"

/** A value, or a promise of it. */
export type MaybePromise<T> = T | Promise<T>

/** Request headers: a value, or a function that is called for every request (a token that is renewed). */
export type HeadersRecord = Record<string, string | (() => MaybePromise<string>)>

/** Names and values of headers: a `Headers`, pairs, or an object, whose undefined values are omitted. */
export type HeadersValues =
  | Pick<Headers, "forEach">
  | Iterable<readonly [name: string, value: string]>
  | Readonly<Record<string, string | undefined>>

/** What the option `headers` accepts: values, functions of them, or one function for all. */
export type HeadersOption =
  | HeadersRecord
  | HeadersValues
  | Readonly<Record<string, string | undefined | (() => MaybePromise<string | undefined>)>>
  | (() => MaybePromise<HeadersValues>)

/** Query parameters: as headers are, and undefined ones are omitted. `offset`, `live` and `cursor` are reserved. */
export type ParamsRecord = Record<
  string,
  string | undefined | (() => MaybePromise<string | undefined>)
>

export interface RequestHeaders {
  readonly headers: HeadersRecord
  /** Gives more headers for each request; `headers` replace them. */
  readonly moreHeaders: (() => Promise<Record<string, string>>) | undefined
}

const headerName = /^[!#$%&'*+\-.^_`|~\dA-Za-z]+$/
// What fetch accepts once it has stripped the white space around it: no control characters, nothing past Latin-1.
// eslint-disable-next-line no-control-regex -- control characters are exactly what a header value must not hold
const headerValue = /^[^\0-\x08\x0A-\x1F\x7F\u0100-\uFFFF]*$/

/**
 * Checks headers, and takes them as they are now. A message names the header and never its value.
 *
 * @throws DurableStreamError `BAD_REQUEST` for headers that no request can carry
 */
export function checkHeaders(headers: HeadersOption | undefined): RequestHeaders {
  if (typeof headers !== "function") {
    return { headers: namedHeaders(headers), moreHeaders: undefined }
  }
  const moreHeaders = async () => resolveEntries(namedHeaders(await headers()), checkHeaderValue)
  return { headers: {}, moreHeaders }
}

function namedHeaders(headers: unknown = {}): HeadersRecord {
  const named: HeadersRecord = {}
  for (const [name, value] of headerEntries(headers)) {
    if (value === undefined) continue
    if (!headerName.test(name)) throw badInput(`${JSON.stringify(name)} is not a header name.`)
    // A function is called for each request; what it gives is checked then, so the cast promises nothing.
    named[name] = isProvider(value) ? (value as () => string) : checkHeaderValue(name, value)
  }
  return named
}

/** By shape: a Headers can be of another realm, or a polyfill. */
function headerEntries(headers: unknown): (readonly [string, unknown])[] {
  if (typeof headers !== "object" || headers === null) {
    throw badInput("The option headers must be an object of names and values, or a function.")
  }
  // JavaScript callers can give anything; each name and value is checked.
  if (Symbol.iterator in headers) return [...(headers as Iterable<readonly [string, unknown]>)]
  // What has a method forEach is no record: its value would be a header that no program names.
  if (!("forEach" in headers && typeof headers.forEach === "function"))
    return Object.entries(headers)
  const entries: (readonly [string, unknown])[] = []
  // As above.
  const each = headers as Pick<Headers, "forEach">
  each.forEach((value, name) => entries.push([name, value]))
  return entries
}

/**
 * Checks params.
 *
 * @throws DurableStreamError `BAD_REQUEST` for those that would collide with the protocol's own, or that are not text
 */
export function checkParams(params: ParamsRecord = {}): ParamsRecord {
  // JavaScript callers can give null. A URLSearchParams has no own properties: it would be ignored silently.
  const given = params as ParamsRecord | null
  if (typeof given !== "object" || given === null || Symbol.iterator in given) {
    throw badInput("The option params must be a plain object of names and values.")
  }
  for (const [name, value] of Object.entries(params)) {
    if (DURABLE_STREAM_PROTOCOL_QUERY_PARAMS.includes(name)) {
      throw badInput(`The query parameter ${name} is reserved: use the option instead of params.`)
    }
    if (!isWellFormed(name)) {
      throw badInput(`The param name ${JSON.stringify(name)} holds half of a character.`)
    }
    if (value !== undefined && !isProvider(value)) checkParamValue(name, value)
  }
  return params
}

/** What the headers and params of a request are made of. */
interface GivenInputs extends RequestHeaders {
  readonly params: ParamsRecord
}

/** Headers and params of one request. */
export interface RequestInputs {
  readonly headers: Record<string, string>
  readonly params: Record<string, string>
}

/** Whether a request has to wait for what functions give. */
export function hasProviders({ headers, moreHeaders, params }: GivenInputs): boolean {
  const has = (record: object) => Object.values(record).some(isProvider)
  return moreHeaders !== undefined || has(headers) || has(params)
}

/** The headers and params of a request that has no functions among them. */
export function fixedInputs({ headers, params }: GivenInputs): RequestInputs {
  return {
    // Without functions they are text, and were checked when they were given.
    headers: headers as Record<string, string>,
    params: checkEntries(Object.entries(params), checkParamValue),
  }
}

/** Calls the functions among the headers, all at once, and checks what they give. */
export async function resolveHeaders({
  headers,
  moreHeaders,
}: RequestHeaders): Promise<Record<string, string>> {
  const named = resolveEntries(headers, checkHeaderValue)
  if (moreHeaders === undefined) return named
  return mergeHeaders(...(await Promise.all([moreHeaders(), named])))
}

/** Calls the functions among the params, all at once, and checks what they give. */
export function resolveParams(params: ParamsRecord): Promise<Record<string, string>> {
  return resolveEntries(params, checkParamValue)
}

async function resolveEntries(
  record: HeadersRecord | ParamsRecord,
  check: (name: string, value: unknown) => string,
): Promise<Record<string, string>> {
  // Async, so that one function that throws at once leaves no other one's rejection unhandled.
  const resolve = async ([name, value]: [string, unknown]): Promise<[string, unknown]> => [
    name,
    isProvider(value) ? await value() : value,
  ]
  return checkEntries(await Promise.all(Object.entries(record).map(resolve)), check)
}

/** Checks the protocol's own headers, which can hold the caller's data. Undefined ones are omitted. */
export function checkOwnHeaders(
  headers: Readonly<Record<string, string | undefined>> = {},
): Record<string, string> {
  return checkEntries(Object.entries(headers), checkHeaderValue)
}

function checkEntries(
  entries: readonly [string, unknown][],
  check: (name: string, value: unknown) => string,
): Record<string, string> {
  // Most requests have none.
  if (entries.length === 0) return {}
  const given = entries.filter(([, value]) => value !== undefined)
  return Object.fromEntries(given.map(([name, value]) => [name, check(name, value)]))
}

/** Headers of one request: the later ones replace the earlier, whatever the case of their names. */
export function mergeHeaders<TValue>(
  ...layers: readonly Readonly<Record<string, TValue>>[]
): Record<string, TValue> {
  const entries = layers.flatMap((layer) => Object.entries(layer))
  if (entries.length < 2) return Object.fromEntries(entries)
  const merged = new Map(entries.map((entry) => [entry[0].toLowerCase(), entry]))
  return Object.fromEntries(merged.values())
}

/** The same for what requests are made with. */
export function layHeaders(below: RequestHeaders, above: RequestHeaders): RequestHeaders {
  if (above.moreHeaders === undefined) {
    return { ...below, headers: mergeHeaders(below.headers, above.headers) }
  }
  const layers = [below, above]
  const moreHeaders = async () => mergeHeaders(...(await Promise.all(layers.map(resolveHeaders))))
  return { headers: {}, moreHeaders }
}

function isProvider(value: unknown): value is () => unknown {
  return typeof value === "function"
}

function checkHeaderValue(name: string, value: unknown): string {
  const text = checkText(`header ${name}`, value).trim()
  if (headerValue.test(text)) return text
  throw badInput(`The value of the header ${name} holds characters that HTTP does not allow.`)
}

function checkParamValue(name: string, value: unknown): string {
  const text = checkText(`param ${name}`, value)
  if (isWellFormed(text)) return text
  throw badInput(`The value of the param ${name} holds half of a character.`)
}

function checkText(input: string, value: unknown): string {
  if (typeof value === "string") return value
  throw badInput(`The ${input} must be a string or a function of one, not ${kindOf(value)}.`)
}

function badInput(message: string): DurableStreamError {
  return new DurableStreamError(message, "BAD_REQUEST")
}
