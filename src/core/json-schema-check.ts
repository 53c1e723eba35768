/** Whether a JSON value fits a schema, in a number of steps that no schema and no value can drive up. */
import { canonicalText } from './canonical-json.ts';
import type { Pattern } from './json-pattern.ts';
import {
  cut,
  isObject,
  type JsonSchema,
  kindOf,
  type Schema,
  type SchemaObject,
  targetOf,
} from './json-schema.ts';

/** Far more than an answer takes that a model writes; below a second. */
export const MOST_STEPS = 10_000_000;
/** What it takes to look at one schema at one place, in steps. */
const VISIT_STEPS = 100;
/** Of schemas within schemas, and of values within values. */
const DEEPEST_VISIT = 500;
/** Of one schema at one place. */
const MOST_PROBLEMS = 20;
const SHOWN = 80;

/** What does not fit, each with where it stands: `files[0].name: …`. Undefined: it would take too long to find out. */
export function problemsOf(schema: JsonSchema, value: unknown): readonly string[] | undefined {
  const check = new Check(schema);
  try {
    return check.visit(schema.root, value, '');
  } catch (error) {
    if (error instanceof Exhausted) return undefined;
    throw error;
  }
}

class Exhausted extends Error {
  override readonly name = 'Exhausted';
}

class Check {
  readonly #schema: JsonSchema;
  #steps = 0;
  #depth = 0;

  constructor(schema: JsonSchema) {
    this.#schema = schema;
  }

  visit(schema: Schema, value: unknown, at: string): readonly string[] {
    this.#spend(VISIT_STEPS);
    if (schema === true) return [];
    if (schema === false) return [say(at, 'nothing may stand here')];
    if (this.#depth >= DEEPEST_VISIT) throw new Exhausted();
    this.#depth += 1;
    const found = [
      ...this.#kind(schema, value, at),
      ...this.#together(schema, value, at),
      ...this.#number(schema, value, at),
      ...this.#text(schema, value, at),
      ...this.#list(schema, value, at),
      ...this.#members(schema, value, at),
    ];
    this.#depth -= 1;
    return found.slice(0, MOST_PROBLEMS);
  }

  #spend(steps: number): void {
    this.#steps += steps;
    if (!(this.#steps <= MOST_STEPS)) throw new Exhausted();
  }

  #fits(schema: Schema, value: unknown): boolean {
    return this.visit(schema, value, '').length === 0;
  }

  /** A value as one of all that are equal. */
  #canonical(value: unknown): string {
    const text = canonicalText(value);
    this.#spend(text.length);
    return text;
  }

  #kind(schema: SchemaObject, value: unknown, at: string): readonly string[] {
    const { type, enum: values } = schema;
    const types = (Array.isArray(type) ? type : [type ?? []].flat()) as readonly string[];
    if (types.length > 0 && !types.some((each) => isOf(each, value)))
      return [say(at, `expected ${types.join(' or ')}, found ${shown(value)}`)];
    const problems: string[] = [];
    if (values !== undefined && !this.#isOneOf(values as readonly unknown[], value))
      problems.push(
        say(at, `expected one of ${shownAll(values as readonly unknown[])}, found ${shown(value)}`),
      );
    if (Object.hasOwn(schema, 'const') && !this.#isOneOf([schema.const], value))
      problems.push(say(at, `expected ${shown(schema.const)}, found ${shown(value)}`));
    return problems;
  }

  #isOneOf(values: readonly unknown[], value: unknown): boolean {
    if (typeof value !== 'object' || value === null) {
      this.#spend(values.length);
      return values.includes(value);
    }
    const text = this.#canonical(value);
    return values.some((each) => kindOf(each) === kindOf(value) && this.#canonical(each) === text);
  }

  #together({ $ref, allOf, anyOf, oneOf, not }: SchemaObject, value: unknown, at: string): readonly string[] {
    const all = (allOf ?? []) as readonly Schema[];
    const target = $ref === undefined ? [] : [targetOf(this.#schema.root, $ref as string) as Schema];
    const problems = [...target, ...all].flatMap((each) => this.visit(each, value, at));
    if (anyOf !== undefined) problems.push(...this.#anyOf(anyOf as readonly Schema[], value, at));
    if (oneOf !== undefined) problems.push(...this.#oneOf(oneOf as readonly Schema[], value, at));
    if (not !== undefined && this.#fits(not as Schema, value))
      problems.push(say(at, `${shown(value)} is what the schema rules out with "not"`));
    return problems;
  }

  #anyOf(schemas: readonly Schema[], value: unknown, at: string): readonly string[] {
    const found: (readonly string[])[] = [];
    for (const each of schemas) {
      const problems = this.visit(each, value, at);
      if (problems.length === 0) return [];
      found.push(problems);
    }
    // What was meant is most likely what lacks least.
    return found.toSorted((one, other) => one.length - other.length)[0] ?? [];
  }

  #oneOf(schemas: readonly Schema[], value: unknown, at: string): readonly string[] {
    const fitting = schemas.filter((each) => this.#fits(each, value)).length;
    if (fitting === 0) return this.#anyOf(schemas, value, at);
    return fitting === 1 ? [] : [say(at, `fits ${fitting} of the schemas of "oneOf", expected one`)];
  }

  #number(schema: SchemaObject, value: unknown, at: string): readonly string[] {
    if (typeof value !== 'number') return [];
    const { minimum, maximum, exclusiveMinimum: above, exclusiveMaximum: below, multipleOf } = schema;
    return failing(at, value, [
      [minimum, (limit) => value >= limit, 'at least N'],
      [maximum, (limit) => value <= limit, 'at most N'],
      [above, (limit) => value > limit, 'above N'],
      [below, (limit) => value < limit, 'below N'],
      [multipleOf, (unit) => isMultiple(value, unit), 'a multiple of N'],
    ]);
  }

  #text({ minLength, maxLength, pattern }: SchemaObject, value: unknown, at: string): readonly string[] {
    if (typeof value !== 'string') return [];
    if (minLength !== undefined || maxLength !== undefined) this.#spend(value.length);
    const length = minLength === undefined && maxLength === undefined ? 0 : [...value].length;
    const problems = failing(at, value, [
      [minLength, (least) => length >= least, 'at least N characters'],
      [maxLength, (most) => length <= most, 'at most N characters'],
    ]);
    if (pattern === undefined) return problems;
    if (this.#stepsOf(pattern as string, value) > MOST_STEPS)
      return [...problems, say(at, `${value.length} characters are too many to be matched with its pattern`)];
    if (this.#matches(pattern as string, value)) return problems;
    return [
      ...problems,
      say(at, `expected a text that matches ${JSON.stringify(pattern)}, found ${shown(value)}`),
    ];
  }

  #matches(source: string, text: string): boolean {
    this.#spend(this.#stepsOf(source, text));
    return this.#patternOf(source).expression.test(text);
  }

  #stepsOf(source: string, text: string): number {
    return this.#patternOf(source).steps(text.length);
  }

  #patternOf(source: string): Pattern {
    const pattern = this.#schema.patterns.get(source);
    if (pattern === undefined) throw new Error(`the pattern ${source} was not read`);
    return pattern;
  }

  #list(schema: SchemaObject, value: unknown, at: string): readonly string[] {
    if (!Array.isArray(value)) return [];
    const { items, prefixItems = [], minItems, maxItems, uniqueItems } = schema;
    const problems = failing(at, value, [
      [minItems, (least) => value.length >= least, 'at least N items'],
      [maxItems, (most) => value.length <= most, 'at most N items'],
    ]);
    const first = prefixItems as readonly Schema[];
    for (const [index, item] of value.entries()) {
      const each = first[index] ?? (items as Schema | undefined);
      if (each !== undefined) problems.push(...this.visit(each, item, `${at}[${index}]`));
      if (problems.length >= MOST_PROBLEMS) return problems;
    }
    const isTold =
      uniqueItems === true && new Set(value.map((item) => this.#canonical(item))).size < value.length;
    return isTold ? [...problems, say(at, 'expected items of which no two are equal')] : problems;
  }

  #members(schema: SchemaObject, value: unknown, at: string): readonly string[] {
    if (!isObject(value)) return [];
    const { required = [], minProperties, maxProperties, propertyNames } = schema;
    const names = Object.keys(value);
    this.#spend(names.length + (required as readonly string[]).length);
    const problems = (required as readonly string[])
      .filter((name) => !Object.hasOwn(value, name))
      .map((name) => say(under(at, name), 'is missing'));
    problems.push(
      ...failing(at, value, [
        [minProperties, (least) => names.length >= least, 'at least N members'],
        [maxProperties, (most) => names.length <= most, 'at most N members'],
      ]),
    );
    for (const name of names) {
      if (propertyNames !== undefined)
        problems.push(...this.visit(propertyNames as Schema, name, under(at, name)));
      problems.push(...this.#member(schema, { name, value: value[name] }, under(at, name)));
      if (problems.length >= MOST_PROBLEMS) break;
    }
    return problems;
  }

  #member(
    { properties = {}, patternProperties = {}, additionalProperties }: SchemaObject,
    { name, value }: { readonly name: string; readonly value: unknown },
    at: string,
  ): readonly string[] {
    const own = Object.hasOwn(properties as SchemaObject, name)
      ? [(properties as SchemaObject)[name] as Schema]
      : [];
    const matched = Object.entries(patternProperties as SchemaObject).flatMap(([pattern, each]) =>
      this.#matches(pattern, name) ? [each as Schema] : [],
    );
    const schemas = [...own, ...matched];
    if (schemas.length > 0) return schemas.flatMap((each) => this.visit(each, value, at));
    if (additionalProperties === false) return [say(at, 'is not in the schema')];
    return additionalProperties === undefined ? [] : this.visit(additionalProperties as Schema, value, at);
  }
}

type Limit = readonly [limit: unknown, holds: (limit: number) => boolean, expected: string];

function failing(at: string, value: unknown, limits: readonly Limit[]): string[] {
  return limits.flatMap(([limit, holds, expected]) =>
    typeof limit !== 'number' || holds(limit)
      ? []
      : [say(at, `expected ${expected.replace('N', String(limit))}, found ${shown(value)}`)],
  );
}

function isOf(type: string, value: unknown): boolean {
  if (type === 'integer') return Number.isInteger(value);
  return type === kindOf(value);
}

function isMultiple(value: number, unit: number): boolean {
  const times = value / unit;
  return Math.abs(times - Math.round(times)) < 1e-9;
}

const LONGEST_PATH = 200;

/** A problem, with where it stands. */
export function say(at: string, problem: string): string {
  return `${at === '' ? 'the value' : cut(at, LONGEST_PATH)}: ${problem}`;
}

/** Where a member of what stands at a place is. */
export function under(at: string, name: string): string {
  const short = cut(name, SHOWN);
  if (!/^[A-Za-z_]\w*$/.test(short)) return `${at}[${JSON.stringify(short)}]`;
  return at === '' ? short : `${at}.${short}`;
}

/** A value in a few words: never more of it than is shown. */
function shown(value: unknown): string {
  if (Array.isArray(value)) return `a list of ${value.length}`;
  if (isObject(value)) return 'an object';
  return cut(JSON.stringify(typeof value === 'string' ? cut(value, SHOWN) : value), SHOWN);
}

const SHOWN_VALUES = 12;

function shownAll(values: readonly unknown[]): string {
  const few = values.slice(0, SHOWN_VALUES).map(shown).join(', ');
  return values.length > SHOWN_VALUES ? `${few} and ${values.length - SHOWN_VALUES} more` : few;
}
