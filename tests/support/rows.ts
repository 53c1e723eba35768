/** Whole-row comparison: every row of every table, before and after. */
import type { Database } from '../../src/store/database.ts';

type Row = Readonly<Record<string, unknown>>;
/** Per table, each row by its primary key. */
export type Rows = Readonly<Record<string, ReadonlyMap<string, Row>>>;

/** Per table: `+` a new row, `-` a row that is gone, `~` what changed in one as [before, after]. Events by their types. */
export type RowChanges = Readonly<Record<string, readonly unknown[]>>;

const KEYS: Readonly<Record<string, readonly string[]>> = {
  idempotency_key: ['team_id', 'key'],
  entry: ['session_id', 'position'],
  todo: ['session_id', 'position'],
  event: ['root_id', 'seq'],
  tree: ['root_id'],
  usage: ['attempt_id'],
  profile: ['hash'],
  output: ['hash'],
  output_use: ['output_hash', 'session_id'],
  rate_bucket: ['name'],
  rate_line: ['turn_id'],
  model_health: ['name'],
};

/** By the database, whose tables stay as they are. */
const QUERIES = new WeakMap<
  Database,
  Promise<{ readonly tables: readonly string[]; readonly text: string }>
>();

async function queryOf(db: Database) {
  const tables = await db.sql<{ name: string }>`
    SELECT relname AS name FROM pg_class
     WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND relname NOT LIKE '\_prisma%' ORDER BY relname`;
  const union = tables.map(
    ({ name }) => `SELECT '${name}' AS name, to_jsonb(r) AS body FROM public."${name}" r`,
  );
  return { tables: tables.map(({ name }) => name), text: union.join(' UNION ALL ') };
}

export async function snapshotRows(db: Database): Promise<Rows> {
  const query = QUERIES.get(db) ?? queryOf(db);
  QUERIES.set(db, query);
  const { tables, text } = await query;
  // Named, so that it is planned once.
  const { rows } = await db.pool.query<{ name: string; body: Row }>({ name: 'snapshot_rows', text });
  const snapshot: Record<string, Map<string, Row>> = {};
  for (const name of tables) snapshot[name] = new Map();
  for (const { name, body } of inOrder(rows)) snapshot[name]?.set(keyOf(name, body), body);
  return snapshot;
}

/** Rows with an id as they were made, wherever Postgres keeps one that was written again. */
function inOrder<Found extends { readonly body: Row }>(rows: readonly Found[]): readonly Found[] {
  const idOf = ({ body }: Found) => String(body.id ?? '');
  return rows.toSorted((a, b) => (idOf(a) < idOf(b) ? -1 : Number(idOf(a) > idOf(b))));
}

function keyOf(table: string, row: Row): string {
  return (KEYS[table] ?? ['id']).map((column) => row[column]).join(' ');
}

/** Times are told only as `time`: that they are there is a fact, when is not. */
export function changesBetween(before: Rows, after: Rows): RowChanges {
  const changes: Record<string, unknown[]> = {};
  for (const [table, rows] of Object.entries(after)) {
    const old = before[table] ?? new Map<string, Row>();
    const found = [...changed(old, rows), ...gone(old, rows)];
    if (found.length > 0) changes[table] = table === 'event' ? eventTypes(found) : found;
  }
  return changes;
}

function* changed(old: ReadonlyMap<string, Row>, rows: ReadonlyMap<string, Row>): Generator<unknown> {
  for (const [key, row] of rows) {
    const was = old.get(key);
    if (was === undefined) {
      yield { '+': Object.fromEntries(Object.entries(row).map(([name, value]) => [name, told(value)])) };
    } else {
      const columns = Object.keys(row).filter(
        (name) => JSON.stringify(row[name]) !== JSON.stringify(was[name]),
      );
      if (columns.length === 0) continue;
      yield {
        '~': key,
        ...Object.fromEntries(columns.map((name) => [name, [told(was[name]), told(row[name])]])),
      };
    }
  }
}

function* gone(old: ReadonlyMap<string, Row>, rows: ReadonlyMap<string, Row>): Generator<unknown> {
  for (const key of old.keys()) if (!rows.has(key)) yield { '-': key };
}

function told(value: unknown): unknown {
  return typeof value === 'string' && /^\d{4}-\d\d-\d\dT[\d:.]+\+00:00$/.test(value) ? 'time' : value;
}

function eventTypes(found: readonly unknown[]): unknown[] {
  const added = found.map((change) => (change as { '+'?: Row })['+']);
  if (added.includes(undefined)) return [...found];
  return added.sort((a, b) => Number(a?.seq) - Number(b?.seq)).map((event) => event?.type);
}
