/**
 * A schema as the Standard Schema convention describes it (https://standardschema.dev): zod, valibot, arktype and others
 * implement it.
 *
 * @template Input - what it accepts
 * @template Output - what it makes of that
 */
export interface StandardSchemaV1<Input = unknown, Output = Input> {
  readonly "~standard": {
    readonly version: 1
    readonly vendor: string
    readonly validate: (value: unknown) => SchemaResult<Output> | Promise<SchemaResult<Output>>
    readonly types?: { readonly input: Input; readonly output: Output } | undefined
  }
}

/** What a schema makes of the messages that it accepts. */
export type SchemaOutput<S extends StandardSchemaV1> = NonNullable<
  S["~standard"]["types"]
>["output"]

/** What a schema accepts: what is stored. */
export type SchemaInput<S extends StandardSchemaV1> = NonNullable<S["~standard"]["types"]>["input"]

/** A message for a schema: what it accepts, or that as it is serialized already. Without a schema, anything. */
export type MessageFor<TBody> = TBody | string | Uint8Array

/** Why a message does not match. */
export interface SchemaIssue {
  readonly message: string
  /** Where in the message. */
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined
}

/** What a schema says of a value. */
export type SchemaResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly SchemaIssue[] }

/** Whether a value is a schema. (Those of arktype are functions.) */
export function isSchema(value: unknown): value is StandardSchemaV1 {
  // Any value but null and undefined may be asked for a property.
  return typeof (value as StandardSchemaV1 | null)?.["~standard"]?.validate === "function"
}

/**
 * Validates a value. What the schema throws is an issue, not an exception.
 *
 * @returns a promise only if the schema does
 */
export function validate(
  schema: StandardSchemaV1,
  value: unknown,
): SchemaResult<unknown> | Promise<SchemaResult<unknown>> {
  const threw = (error: unknown) => ({
    issues: [{ message: `the option schema threw ${String(error)}` }],
  })
  try {
    const result = schema["~standard"].validate(value)
    return "then" in result ? result.then((settled) => settled, threw) : result
  } catch (error) {
    return threw(error)
  }
}
