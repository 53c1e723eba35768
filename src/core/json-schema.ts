/**
 * JSON Schema (draft 2020-12) as a model may give it for what another one is to answer: only what can be checked, within limits. A
 * keyword that would count for nothing is refused, so that whoever writes it knows.
 */
import { type Pattern, readPattern } from './json-pattern.ts';

/** The UTF-8 bytes of a schema as JSON, and how deep it goes. */
export const SCHEMA_LIMITS = { bytes: 16 * 1024, depth: 32 } as const;

export type Schema = boolean | SchemaObject;
export type SchemaObject = Readonly<Record<string, unknown>>;

/** A schema that can be checked: all of it was looked at. */
export interface JsonSchema {
  readonly root: SchemaObject;
  /** By their source. */
  readonly patterns: ReadonlyMap<string, Pattern>;
}

type Nested = 'schema' | 'schemas' | 'named' | 'matched';
type Plain = 'types' | 'values' | 'names' | 'count' | 'number' | 'unit' | 'flag' | 'text' | 'value' | 'any';

/** What is checked, by what it must be; and what only explains. */
const KEYWORDS_OF: Readonly<Record<Nested | Plain, readonly string[]>> = {
  schema: ['items', 'additionalProperties', 'propertyNames', 'not'],
  schemas: ['anyOf', 'oneOf', 'allOf', 'prefixItems'],
  named: ['properties', '$defs', 'definitions'],
  matched: ['patternProperties'],
  types: ['type'],
  values: ['enum'],
  names: ['required'],
  count: ['minLength', 'maxLength', 'minItems', 'maxItems', 'minProperties', 'maxProperties'],
  number: ['minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum'],
  unit: ['multipleOf'],
  flag: ['uniqueItems'],
  value: ['const'],
  text: ['pattern', '$ref'],
  any: [
    ...['$schema', '$id', '$comment', 'title', 'description', 'default', 'examples'],
    ...['format', 'deprecated', 'readOnly', 'writeOnly'],
  ],
};
const KEYWORDS = new Map(
  Object.entries(KEYWORDS_OF).flatMap(([shape, names]) =>
    names.map((name) => [name, shape as Nested | Plain] as const),
  ),
);

export const JSON_TYPES = ['object', 'array', 'string', 'number', 'integer', 'boolean', 'null'] as const;

/** What the value of a keyword must be. */
const PLAIN: Readonly<Record<Plain, readonly [what: string, holds: (value: unknown) => boolean]>> = {
  types: [
    `of ${JSON_TYPES.join(', ')}`,
    (value) => [value].flat().every(isType) && [value].flat().length > 0,
  ],
  values: ['a list of values', (value) => Array.isArray(value) && value.length > 0],
  names: [
    'a list of names',
    (value) => Array.isArray(value) && value.every((each) => typeof each === 'string'),
  ],
  count: ['a whole number from 0', (value) => Number.isInteger(value) && Number(value) >= 0],
  number: ['a number', Number.isFinite],
  unit: ['a number above 0', (value) => Number.isFinite(value) && Number(value) > 0],
  flag: ['true or false', (value) => typeof value === 'boolean'],
  text: ['a text', (value) => typeof value === 'string'],
  value: ['anything', () => true],
  any: ['anything', () => true],
};

/** The schema, or a sentence without its stop that says why it cannot be used. */
export function readSchema(given: unknown): JsonSchema | string {
  if (!isObject(given)) return `a JSON Schema is an object, and this is ${kindOf(given)}`;
  if (isDeeper(given, SCHEMA_LIMITS.depth)) return `it goes deeper than ${SCHEMA_LIMITS.depth} levels`;
  const size = Buffer.byteLength(JSON.stringify(given));
  if (size > SCHEMA_LIMITS.bytes)
    return `it has ${size} bytes as JSON, and it may have ${SCHEMA_LIMITS.bytes} at most`;
  const reader = new Reader(given);
  try {
    reader.read(given, '#');
    reader.refuseCircles();
  } catch (error) {
    if (error instanceof Refused) return cut(error.message, LONGEST_SENTENCE);
    throw error;
  }
  return { root: given, patterns: reader.patterns };
}

class Refused extends Error {
  override readonly name = 'Refused';
}

class Reader {
  readonly patterns = new Map<string, Pattern>();
  readonly #root: SchemaObject;
  readonly #read = new Set<unknown>();
  readonly #straight = new Set<unknown>();

  constructor(root: SchemaObject) {
    this.#root = root;
  }

  read(schema: unknown, at: string): void {
    if (typeof schema === 'boolean' || this.#read.has(schema)) return;
    if (!isObject(schema)) throw new Refused(`${at} must be a schema, and is ${kindOf(schema)}`);
    this.#read.add(schema);
    for (const [name, value] of Object.entries(schema)) this.#keyword(name, value, `${at}/${name}`);
  }

  #keyword(name: string, value: unknown, at: string): void {
    const shape = KEYWORDS.get(name);
    if (shape === undefined) {
      if (name.startsWith('x-')) return;
      const checked = [...KEYWORDS].flatMap(([known, of]) => (of === 'any' ? [] : [known]));
      throw new Refused(`${cut(at, LONGEST_PLACE)} is not checked here; what is: ${checked.join(', ')}`);
    }
    if (shape === 'schema') this.read(value, at);
    else if (shape === 'schemas' || shape === 'named' || shape === 'matched') this.#each(shape, value, at);
    else this.#plain(shape, { name, value }, at);
  }

  #plain(
    shape: Plain,
    { name, value }: { readonly name: string; readonly value: unknown },
    at: string,
  ): void {
    const [what, holds] = PLAIN[shape];
    if (!holds(value)) throw new Refused(`${at} must be ${what}`);
    if (name === 'pattern') this.#pattern(String(value), at);
    if (name === '$ref') this.read(targetOf(this.#root, String(value)), String(value));
  }

  #each(shape: Exclude<Nested, 'schema'>, value: unknown, at: string): void {
    const isGiven = shape === 'schemas' ? Array.isArray(value) && value.length > 0 : isObject(value);
    if (!isGiven)
      throw new Refused(`${at} must be ${shape === 'schemas' ? 'a list' : 'an object'} of schemas`);
    for (const [name, each] of Object.entries(value as SchemaObject)) {
      if (shape === 'matched') this.#pattern(name, at);
      this.read(each, `${at}/${name}`);
    }
  }

  #pattern(source: string, at: string): void {
    const pattern = readPattern(source);
    if (typeof pattern === 'string') throw new Refused(`${at}: ${pattern}`);
    this.patterns.set(source, pattern);
  }

  /** A schema that stands for itself at the same place would be checked for ever. */
  refuseCircles(): void {
    for (const schema of this.#read) this.#refuseCircle(schema, new Set());
  }

  #refuseCircle(schema: unknown, above: ReadonlySet<unknown>): void {
    if (!isObject(schema) || this.#straight.has(schema)) return;
    if (above.has(schema)) throw new Refused('a $ref leads back to itself, with nothing between');
    const below = new Set([...above, schema]);
    for (const each of atSamePlace(this.#root, schema)) this.#refuseCircle(each, below);
    this.#straight.add(schema);
  }
}

/** What else a value must fit, or may, beside a schema's own keywords. */
function atSamePlace(
  root: SchemaObject,
  { $ref, allOf, anyOf, oneOf, not }: SchemaObject,
): readonly unknown[] {
  const target = typeof $ref === 'string' ? [targetOf(root, $ref)] : [];
  return [...target, allOf, anyOf, oneOf, not].flat().filter((each) => each !== undefined);
}

/** Where a `$ref` leads: `#`, or a JSON pointer behind it (RFC 6901). */
export function targetOf(root: SchemaObject, ref: string): unknown {
  if (!/^#(?:\/|$)/.test(ref))
    throw new Refused(`the $ref ${JSON.stringify(ref)} leads out of the schema: only "#/..." is followed`);
  let found: unknown = root;
  for (const step of ref.split('/').slice(1)) {
    const key = step.replaceAll('~1', '/').replaceAll('~0', '~');
    found =
      typeof found === 'object' && found !== null && Object.hasOwn(found, key)
        ? (found as SchemaObject)[key]
        : undefined;
  }
  if (found === undefined) throw new Refused(`the $ref ${JSON.stringify(ref)} leads nowhere`);
  return found;
}

const LONGEST_SENTENCE = 600;
const LONGEST_PLACE = 120;

export function cut(text: string, length: number): string {
  return text.length <= length ? text : `${text.slice(0, length).toWellFormed()}…`;
}

export function isObject(value: unknown): value is SchemaObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function kindOf(value: unknown): string {
  if (value === null) return 'null';
  return Array.isArray(value) ? 'array' : typeof value;
}

function isType(value: unknown): boolean {
  return JSON_TYPES.some((type) => type === value);
}

/** Never goes deeper than that itself. */
export function isDeeper(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return levels === 0 || Object.values(value).some((each) => isDeeper(each, levels - 1));
}
