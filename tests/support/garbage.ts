/** Arbitrary requests from a JSON Schema: what it asks for, and what it does not. */
import fc from 'fast-check';

/** What is read of a JSON Schema. */
export interface JsonSchema {
  readonly $ref?: string;
  readonly type?: string | readonly string[];
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly oneOf?: readonly JsonSchema[];
  readonly anyOf?: readonly JsonSchema[];
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: boolean | JsonSchema;
  readonly items?: JsonSchema;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minItems?: number;
}

/** Text that somebody may well send. */
const HOSTILE = [
  ' ',
  '\u0000',
  'a\u0000b',
  '\ud800',
  '../../etc/passwd',
  "';--",
  '{{7*7}}',
  '%00',
  '\u202e',
  '-',
];

/** What breaks programs that did not expect it. */
export const garbage: fc.Arbitrary<unknown> = fc.oneof(
  fc.jsonValue({ maxDepth: 3 }),
  fc.string({ unit: 'binary', maxLength: 20 }),
  fc.constantFrom<unknown>(
    ...['', ...HOSTILE, 'x'.repeat(20_000)],
    ...[null, true, -1, 0, 1.5, 1e308, -1e308, 2 ** 53, 2 ** 31, [], {}, [[]], [null]],
    ...['9'.repeat(40), 'NaN', '1e9', '0x10', '2026-13-45', '\u202e', 'ses_', `ses_${'0'.repeat(32)}`],
    JSON.parse(`${'['.repeat(500)}${']'.repeat(500)}`),
    JSON.parse('{"__proto__": {"admin": true}, "constructor": {"prototype": {}}}'),
  ),
);

/** Mostly what a schema asks for. */
export function fitting(schema: JsonSchema, resolve: (ref: string) => JsonSchema): fc.Arbitrary<unknown> {
  const inner = (each: JsonSchema) => fitting(each, resolve);
  if (schema.$ref !== undefined) return inner(resolve(schema.$ref));
  if (schema.const !== undefined) return fc.constant(schema.const);
  if (schema.enum !== undefined) return fc.constantFrom(...schema.enum);
  const either = schema.oneOf ?? schema.anyOf;
  if (either !== undefined) return fc.oneof(...either.map(inner));
  const [type] = [schema.type ?? 'object'].flat();
  switch (type) {
    case 'object':
      return objectOf(schema, inner);
    case 'array':
      return fc.array(inner(schema.items ?? {}), { minLength: schema.minItems ?? 0, maxLength: 3 });
    case 'integer':
      return fc.integer({ min: Math.max(schema.minimum ?? 0, -9), max: Math.min(schema.maximum ?? 99, 99) });
    case 'number':
      return fc.double({ min: schema.minimum ?? 0, max: schema.maximum ?? 9, noNaN: true });
    case 'boolean':
      return fc.boolean();
    case 'null':
      return fc.constant(null);
    default:
      return fc.oneof(fc.string({ minLength: 1, maxLength: 12 }), fc.constantFrom(...HOSTILE));
  }
}

function objectOf(
  { properties = {}, required = [], additionalProperties: more }: JsonSchema,
  inner: (schema: JsonSchema) => fc.Arbitrary<unknown>,
): fc.Arbitrary<unknown> {
  const fields = Object.fromEntries(Object.entries(properties).map(([name, field]) => [name, inner(field)]));
  const known = fc.record(fields, { requiredKeys: required.filter((name) => name in fields) });
  if (typeof more !== 'object') return known;
  return fc.dictionary(fc.string({ minLength: 1, maxLength: 5 }), inner(more), { maxKeys: 3 });
}

/** The same with something in it that is garbage: a value replaced, left out or added, somewhere. */
export function spoilt(value: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> {
  const change = fc.record({ way: fc.array(fc.nat(9), { maxLength: 3 }), how: fc.nat(2), put: garbage });
  return fc
    .tuple(value, change)
    .map(([found, { way, how, put }]) => spoil(found, way, how === 2 ? [] : [put]));
}

/** `put`: what to put there; nothing leaves it out. */
function spoil(value: unknown, [step, ...rest]: readonly number[], put: readonly unknown[]): unknown {
  if (typeof value !== 'object' || value === null || step === undefined) return put[0];
  const names = [...Object.keys(value), 'unknown'];
  const name = names[step % names.length] ?? '';
  const { [name]: inner, ...others } = value as Record<string, unknown>;
  if (rest.length === 0 && put.length === 0) return others;
  return { ...others, [name]: spoil(inner, rest, put) };
}
