import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { useStore } from '../support/store.ts';

const SCHEMA = readFileSync(join(import.meta.dirname, '..', '..', 'prisma', 'schema.prisma'), 'utf8');
const store = useStore();

interface Field {
  readonly name: string;
  readonly column: string;
  readonly type: string;
  readonly optional: boolean;
  readonly rest: string;
}

interface Model {
  readonly name: string;
  readonly table: string;
  readonly fields: readonly Field[];
  /** The lines that begin with @@. */
  readonly attributes: readonly string[];
}

const SCALARS: Readonly<Record<string, string>> = {
  String: 'text',
  'String[]': 'text[]',
  Boolean: 'boolean',
  Int: 'integer',
  BigInt: 'bigint',
  'Decimal @db.Decimal(24, 12)': 'numeric(24,12)',
  'Decimal @db.Decimal(30, 12)': 'numeric(30,12)',
  Json: 'jsonb',
  Bytes: 'bytea',
  'String @db.Uuid': 'uuid',
  Unsupported: 'tsvector',
  'DateTime @db.Timestamptz(3)': 'timestamp(3) with time zone',
  'DateTime @db.Timestamptz(6)': 'timestamp(6) with time zone',
};

function parseModels(text: string): Model[] {
  return [...text.matchAll(/^model (\w+) \{\n([\s\S]*?)^\}/gm)].map(([, name = '', body = '']) => {
    const lines = body.split('\n').map((line) => line.replace(/\/\/.*$/, '').trim());
    const attributes = lines.filter((line) => line.startsWith('@@'));
    const table = /@@map\("(\w+)"\)/.exec(attributes.join(' '))?.[1] ?? name;
    const fields = lines.filter((line) => /^\w/.test(line)).map(parseField);
    return { name, table, fields, attributes };
  });
}

function parseField(line: string): Field {
  const [, name = '', type = '', mark = '', rest = ''] = /^(\w+)\s+(\w+)(\[\]|\?)?\s*(.*)$/.exec(line) ?? [];
  const native = /@db\.\w+(\(.*?\))?/.exec(rest)?.[0];
  return {
    name,
    column: /@map\("(\w+)"\)/.exec(rest)?.[1] ?? name,
    type: mark === '[]' ? `${type}[]` : native === undefined ? type : `${type} ${native}`,
    // Of a list, Prisma makes a column that may be null; a CHECK says otherwise where it matters.
    optional: mark === '?' || mark === '[]',
    rest,
  };
}

const models = parseModels(SCHEMA);
const scalars = (model: Model) => model.fields.filter(({ type }) => type in SCALARS);

function columnsOf(model: Model, names: string): string[] {
  return names.split(',').map((name) => {
    const field = model.fields.find((each) => each.name === name.trim());
    if (field === undefined) throw new Error(`${model.name} has no field ${name}`);
    return field.column;
  });
}

function defaultOf({ type, rest }: Field): string | null {
  const generated = /@default\(dbgenerated\("(.*?)"\)\)/.exec(rest)?.[1];
  const [, text, plain] = /@default\((?:"(.*?)"|(\w+))\)/.exec(rest) ?? [];
  if (generated !== undefined) return generated;
  return text === undefined ? (plain ?? null) : `'${text}'::${SCALARS[type]}`;
}

/** Declared over several fields (`@@unique([a, b])`) or at one (`@unique`). */
function declared(model: Model, attribute: 'id' | 'unique' | 'index'): string[][] {
  const together = model.attributes
    .map((line) => new RegExp(`^@@${attribute}\\(\\[(.*?)\\]`).exec(line)?.[1])
    .filter((names) => names !== undefined)
    .map((names) => columnsOf(model, names));
  const alone = model.fields
    .filter(({ rest }) => new RegExp(`@${attribute}\\b`).test(rest))
    .map(({ column }) => [column]);
  return [...together, ...alone];
}

describe('schema.prisma and the migrated database have the same', () => {
  test('tables', async () => {
    const rows = await store.db.sql<{ name: string }>`
      SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public' AND tablename NOT LIKE '\_prisma%'`;
    expect(rows.map(({ name }) => name).sort()).toEqual(models.map(({ table }) => table).sort());
  });

  test('columns, in types, nullability, defaults and order', async () => {
    const rows = await store.db.sql`
      SELECT c.relname AS table, a.attname AS column, format_type(a.atttypid, a.atttypmod) AS type, NOT a.attnotnull AS optional,
             pg_get_expr(d.adbin, d.adrelid) AS fallback
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
       WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND c.relname NOT LIKE '\_prisma%'
         AND a.attnum > 0 AND NOT a.attisdropped
       ORDER BY c.relname, a.attnum`;
    const wanted = models
      .toSorted((a, b) => (a.table < b.table ? -1 : 1))
      .flatMap((model) =>
        scalars(model).map((field) => ({
          table: model.table,
          column: field.column,
          type: SCALARS[field.type],
          optional: field.optional,
          fallback: defaultOf(field),
        })),
      );
    expect(rows).toEqual(wanted);
  });

  test('keys and indexes, but for partial ones, which Prisma cannot say', async () => {
    const rows = await store.db.sql<{ name: string; definition: string }>`
      SELECT i.relname AS name, concat_ws(' ', c.relname, CASE WHEN x.indisprimary THEN 'id' WHEN x.indisunique THEN 'unique' ELSE 'index' END,
             (SELECT string_agg(a.attname, ',' ORDER BY k.ordinality) FROM unnest(x.indkey) WITH ORDINALITY k(attnum, ordinality)
                JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum)) AS definition
        FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class c ON c.oid = x.indrelid
       WHERE c.relnamespace = 'public'::regnamespace AND x.indpred IS NULL AND c.relname NOT LIKE '\_prisma%'`;
    const wanted = models.flatMap((model) => [
      ...declared(model, 'id').map((columns) => [`${model.table}_pkey`, `${model.table} id ${columns}`]),
      ...declared(model, 'unique').map((columns) => [
        `${model.table}_${columns.join('_')}_key`,
        `${model.table} unique ${columns}`,
      ]),
      ...declared(model, 'index').map((columns) => [
        `${model.table}_${columns.join('_')}_idx`,
        `${model.table} index ${columns}`,
      ]),
    ]);
    expect(rows.map(({ name, definition }) => [name, definition]).sort()).toEqual(wanted.sort());
  });

  test('foreign keys, and what happens to them', async () => {
    const rows = await store.db.sql<{ name: string; definition: string }>`
      SELECT conname AS name, pg_get_constraintdef(oid) AS definition FROM pg_constraint
       WHERE contype = 'f' AND connamespace = 'public'::regnamespace`;
    const wanted = models.flatMap((model) =>
      model.fields.flatMap((field) => {
        const [, own, theirs] = /@relation\(fields: \[(.*?)\], references: \[(.*?)\]/.exec(field.rest) ?? [];
        const other = models.find(({ name }) => name === field.type);
        if (own === undefined || theirs === undefined || other === undefined) return [];
        const columns = columnsOf(model, own);
        const target = `${/^(user)$/.test(other.table) ? `"${other.table}"` : other.table}(${columnsOf(other, theirs).join(', ')})`;
        const onDelete =
          field.optional && !field.rest.includes('onDelete: Restrict') ? 'SET NULL' : 'RESTRICT';
        const definition = `FOREIGN KEY (${columns.join(', ')}) REFERENCES ${target} ON UPDATE CASCADE ON DELETE ${onDelete}`;
        return [[`${model.table}_${columns.join('_')}_fkey`, definition]];
      }),
    );
    expect(rows.map(({ name, definition }) => [name, definition]).sort()).toEqual(wanted.sort());
  });
});

test('every partial index is one that the sweeper, a guard, `why`, a search, the tree or metrics need, and unique ones allow one unfinished turn, and one schedule of a name', async () => {
  const rows = await store.db.sql<{ name: string; unique: boolean }>`
    SELECT i.relname AS name, x.indisunique AS unique FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid
     WHERE i.relnamespace = 'public'::regnamespace AND x.indpred IS NOT NULL ORDER BY 1`;
  expect(rows.map(({ name }) => name)).toEqual([
    'approval_due',
    'approval_open',
    'attempt_ended',
    'attempt_open',
    'background_process_open',
    'delegation_open',
    'entry_answers',
    'entry_changes',
    'message_untaken',
    'permission_rule_live',
    'schedule_due',
    'schedule_name',
    'session_children',
    'session_forks',
    'task_deadline',
    'task_ended',
    'task_schedule',
    'task_unfinished',
    'task_unfinished_tree',
    'tool_call_output',
    'turn_ended',
    'turn_one_unfinished',
    'turn_queued',
    'turn_ready',
    'webhook_delivery_claimed',
    'webhook_delivery_due',
    'webhook_delivery_ended',
    'webhook_delivery_task',
    'webhook_live',
    'worker_live',
  ]);
  expect(rows.filter(({ unique }) => unique).map(({ name }) => name)).toEqual([
    'schedule_name',
    'turn_one_unfinished',
  ]);
});
