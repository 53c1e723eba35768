import type { Database } from './database.ts';

/** What is listed by its time and goes on behind a row: its id may be one that an Idempotency-Key made, and tells no time. */
const TABLES = {
  ...{ key: 'api_key', user: '"user"', schedule: 'schedule' },
  ...{ webhook: 'webhook', delivery: 'webhook_delivery' },
} as const;

export type ListedByTime = keyof typeof TABLES;

/** Whether the team has or had it, and it is not forgotten. */
export async function canGoOnBehind(
  db: Database,
  kind: ListedByTime,
  { teamId, id }: { readonly teamId: string; readonly id: string },
): Promise<boolean> {
  const rows = await db.read(`SELECT id FROM ${TABLES[kind]} WHERE id = $1 AND team_id = $2`, id, teamId);
  return rows.length > 0;
}
