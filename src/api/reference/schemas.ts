/** JSON Schemas as tables of fields. */
import { type Html, html, prose } from './html.ts';

/** What is read of a JSON Schema. */
export interface Schema {
  readonly $ref?: string;
  readonly type?: string | readonly string[];
  readonly description?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: boolean | Schema;
  readonly items?: Schema;
  readonly anyOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly format?: string;
  readonly pattern?: string;
  readonly default?: unknown;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
}

/** `Task`, a link; `string | null`; `Task[]`. */
export function typeOf(schema: Schema): Html {
  if (schema.$ref !== undefined) return linkTo(schema.$ref);
  if (schema.const !== undefined) return html`<code>${JSON.stringify(schema.const)}</code>`;
  if (schema.enum !== undefined)
    return joined(schema.enum.map((each) => html`<code>${JSON.stringify(each)}</code>`));
  const either = schema.anyOf ?? schema.oneOf;
  if (either !== undefined) return joined(unlike(either.map(typeOf)));
  if (schema.type === 'array') return html`${bracketed(schema.items ?? {})}[]`;
  if (schema.type === 'object' && typeof schema.additionalProperties === 'object')
    return html`object of ${typeOf(schema.additionalProperties)}`;
  const types = [schema.type ?? 'anything'].flat();
  return joined(types.map((each) => html`${each}`));
}

/** What a list is of: a choice stands in brackets. */
function bracketed(items: Schema): Html {
  const said = typeOf(items);
  return said.text.includes(' | ') ? html`(${said})` : said;
}

function linkTo(ref: string): Html {
  const name = ref.split('/').at(-1) ?? '';
  return html`<a href="#schema-${name}">${name}</a>`;
}

function joined(parts: readonly Html[]): Html {
  return html`${parts.map((part, index) => (index === 0 ? part : html` | ${part}`))}`;
}

function unlike(parts: readonly Html[]): Html[] {
  return parts.filter((part, index) => parts.findIndex(({ text }) => text === part.text) === index);
}

/** Everything that a schema says, below each other: its fields, and those of what stands in them. */
export function schemaBody(schema: Schema): Html {
  const either = schema.oneOf ?? schema.anyOf;
  if (either?.some(hasOwnFields))
    return html`<p>One of:</p>${either.map((each) => html`<div class="variant">${schemaBody(each)}</div>`)}`;
  if (!hasOwnFields(schema)) return html`<p class="type">${typeOf(schema)} ${limitsOf(schema)}</p>`;
  const rows = Object.entries(schema.properties ?? {}).map(([name, field]) =>
    fieldRow({ name, field, required: schema.required?.includes(name) === true }),
  );
  return html`<table class="fields"><tbody>${rows}</tbody></table>`;
}

export function fieldRow(row: {
  readonly name: string;
  readonly field: Schema;
  readonly required: boolean;
  readonly where?: string;
}): Html {
  const { name, field, required, where } = row;
  const inner = innerOf(field);
  const more =
    inner === undefined ? undefined : html`<details><summary>fields</summary>${schemaBody(inner)}</details>`;
  const mark = required ? html` <span class="required">required</span>` : undefined;
  const place = where === undefined ? undefined : html` <span class="where">${where}</span>`;
  return html`<tr><th scope="row"><code>${name}</code>${place}${mark}</th>
<td><span class="type">${typeOf(field)}</span> ${limitsOf(field)}<div>${prose(field.description)}</div>${more}</td></tr>`;
}

/** The object, or the objects of a list or a choice, that stand in a field without a name of their own. */
function innerOf(field: Schema): Schema | undefined {
  if (hasOwnFields(field)) return field;
  if (field.items !== undefined) return innerOf(field.items);
  if (typeof field.additionalProperties === 'object') return innerOf(field.additionalProperties);
  const either = field.anyOf ?? field.oneOf;
  const objects = either?.filter(hasOwnFields) ?? [];
  return objects.length === 1 ? objects[0] : objects.length > 1 ? { oneOf: objects } : undefined;
}

/** Whether there are fields to show, in it or in what it may be. */
export function hasOwnFields({ properties, oneOf }: Schema): boolean {
  return properties !== undefined || oneOf?.some(hasOwnFields) === true;
}

function limitsOf(schema: Schema): Html | undefined {
  const said = [
    ...rangeOf(schema.minimum, schema.maximum, ''),
    ...rangeOf(schema.minLength, schema.maxLength, ' characters'),
    ...rangeOf(schema.minItems, schema.maxItems, ' of them'),
    ...(schema.format === undefined ? [] : [schema.format]),
    ...(schema.default === undefined ? [] : [`${JSON.stringify(schema.default)} where left out`]),
  ];
  return said.length === 0 ? undefined : html`<span class="limits">${said.join(', ')}</span>`;
}

/** Bounds of what a number can be at all are none. */
function rangeOf(least: number | undefined, most: number | undefined, unit: string): string[] {
  const [min, max] = [least, most].map((bound) =>
    bound === undefined || Math.abs(bound) === Number.MAX_SAFE_INTEGER ? undefined : bound,
  );
  if (min !== undefined && max !== undefined) return [`${min} to ${max}${unit}`];
  if (min === 1 && unit !== '') return ['not empty'];
  if (min !== undefined) return [`at least ${min}${unit}`];
  return max === undefined ? [] : [`at most ${max}${unit}`];
}
