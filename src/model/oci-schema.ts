/**
 * The schema of a tool's parameters in the words that Oracle's cloud takes: it refuses references and choices of types.
 */

type Schema = Readonly<Record<string, unknown>>;

/** Levels that references are followed: one that leads to itself has no end. */
export const MAX_SCHEMA_DEPTH = 12;

/** References in their places, of a choice its first branch that is not null, and nothing that only validators know. */
export function plainSchema(schema: Schema): Schema {
  const definitions = objectOf(schema.$defs ?? schema.definitions);
  return plain(schema, definitions, 0);
}

function plain(schema: Schema, definitions: Schema, depth: number): Schema {
  if (depth > MAX_SCHEMA_DEPTH) return {};
  const inner = (value: unknown) => plain(objectOf(value), definitions, depth + 1);
  const referred = referredBy(schema, definitions);
  if (referred !== undefined) return inner({ ...referred, ...without(schema, ['$ref']) });
  const choice = choiceOf(schema);
  if (choice !== undefined) return inner({ ...choice, ...without(schema, ['anyOf', 'oneOf']) });
  const kept = without(schema, ['$schema', '$defs', 'definitions', '$id']);
  return Object.fromEntries(
    Object.entries(kept).map(([key, value]) => {
      if (key === 'properties') return [key, mapped(objectOf(value), inner)];
      if (key === 'items' || key === 'additionalProperties')
        return [key, isObject(value) ? inner(value) : value];
      if (key === 'type' && Array.isArray(value))
        return [key, value.find((each) => each !== 'null') ?? 'string'];
      return [key, value];
    }),
  );
}

function referredBy({ $ref: ref }: Schema, definitions: Schema): Schema | undefined {
  if (typeof ref !== 'string') return undefined;
  return objectOf(definitions[ref.replace(/^#\/(\$defs|definitions)\//, '')]);
}

function choiceOf({ anyOf, oneOf }: Schema): Schema | undefined {
  const branches = anyOf ?? oneOf;
  if (!Array.isArray(branches)) return undefined;
  return branches.map(objectOf).find(({ type }) => type !== 'null') ?? {};
}

function mapped(schema: Schema, inner: (value: unknown) => Schema): Schema {
  return Object.fromEntries(Object.entries(schema).map(([key, value]) => [key, inner(value)]));
}

function without(schema: Schema, keys: readonly string[]): Schema {
  return Object.fromEntries(Object.entries(schema).filter(([key]) => !keys.includes(key)));
}

export function objectOf(value: unknown): Schema {
  return isObject(value) ? value : {};
}

function isObject(value: unknown): value is Schema {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
