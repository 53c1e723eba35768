/** Pages of a list: `limit` and `cursor` in, `{data, nextCursor}` out. A cursor names the last item that was sent. */
import { fromPublicId, type IdKind } from '../core/id.ts';
import { canGoOnBehind, type ListedByTime } from '../store/cursors.ts';
import type { Database } from '../store/database.ts';
import type { Rows } from '../store/views.ts';
import { badRequest } from './problem.ts';
import type { Reply } from './route.ts';

export interface PageOf<Row, Item> {
  readonly show: (row: Row) => Item;
  readonly cursor: (row: Row) => string;
}

export function pageReply<Row, Item>({ rows, more }: Rows<Row>, { show, cursor }: PageOf<Row, Item>): Reply {
  const last = rows.at(-1);
  const nextCursor = more && last !== undefined ? cursor(last) : null;
  return { status: 200, body: { data: rows.map(show), nextCursor } };
}

/** The UUID that a cursor names. */
export function idCursor(kind: IdKind, cursor: string | undefined): string | undefined {
  if (cursor === undefined) return undefined;
  const id = fromPublicId(kind, cursor);
  if (id === undefined) throw invalidCursor();
  return id;
}

/** The same of a list that cannot go on without the row: where that is forgotten, or another team's, an empty page would look like the end. */
export async function rowCursor(
  db: Database,
  kind: ListedByTime,
  { teamId, cursor }: { readonly teamId: string; readonly cursor: string | undefined },
): Promise<string | undefined> {
  const id = idCursor(kind, cursor);
  if (id !== undefined && !(await canGoOnBehind(db, kind, { teamId, id }))) throw lostCursor();
  return id;
}

/** The `count` numbers that a cursor names; zeros where there is none. */
export function numberCursor(count: number, cursor: string | undefined): number[] {
  if (cursor === undefined) return Array.from({ length: count }, () => 0);
  const parts = cursor.split('.');
  if (parts.length !== count || !parts.every((part) => /^\d{1,9}$/.test(part))) throw invalidCursor();
  return parts.map(Number);
}

function lostCursor() {
  return badRequest(
    'invalid_cursor',
    'What the cursor names is not there, or not any more: begin again without a cursor.',
    'cursor',
  );
}

function invalidCursor() {
  return badRequest(
    'invalid_cursor',
    'The cursor is not one: send the nextCursor of the page before.',
    'cursor',
  );
}
