/** Who did what: one row per request that may change something. */
import type { Database } from './database.ts';
import type { Caller } from './keys.ts';
import { cut, type Rows } from './views.ts';

export interface AuditedRequest {
  /** A UUID. */
  readonly id: string;
  readonly caller: Pick<Caller, 'teamId' | 'userId' | 'keyId'>;
  /** The route: `POST /v1/tasks/:id/cancel`. */
  readonly action: string;
  /** The public id of what it is about. */
  readonly subject?: string | undefined;
}

/** Before the request is looked at: whatever it changes, there is a row that says who asked for it. */
export async function beginAudit(db: Database, request: AuditedRequest): Promise<void> {
  const { id, caller, action, subject = null } = request;
  await db.sql`
    INSERT INTO audit (id, team_id, user_id, key_id, action, subject)
    VALUES (${id}, ${caller.teamId}, ${caller.userId}, ${caller.keyId}, ${action}, ${subject}) ON CONFLICT DO NOTHING`;
}

/** Once it was answered. `subject`: the public id of what it made. */
export async function endAudit(
  db: Database,
  request: { readonly id: string; readonly status: number; readonly subject?: string | undefined },
): Promise<void> {
  const { id, status, subject = null } = request;
  await db.sql`UPDATE audit SET status = ${status}, subject = coalesce(subject, ${subject}) WHERE id = ${id}`;
}

export interface AuditRow {
  readonly id: string;
  readonly userId: string;
  readonly userName: string;
  readonly keyId: string;
  readonly keyName: string;
  readonly at: Date;
  readonly action: string;
  readonly subject: string | null;
  /** What was answered; null: nobody knows. */
  readonly status: number | null;
}

export interface AuditFilter {
  readonly teamId: string;
  readonly userId?: string | undefined;
  readonly subject?: string | undefined;
  readonly before?: string | undefined;
}

/** The newest first. */
export async function readAudit(db: Database, filter: AuditFilter, limit: number): Promise<Rows<AuditRow>> {
  const { teamId, userId = null, subject = null, before = null } = filter;
  const rows = await db.sql<AuditRow & Record<string, unknown>>`
    SELECT a.id, a.user_id AS "userId", u.name AS "userName", a.key_id AS "keyId", k.name AS "keyName", a.at, a.action, a.subject, a.status
      FROM audit a JOIN "user" u ON u.id = a.user_id JOIN api_key k ON k.id = a.key_id
     WHERE a.team_id = ${teamId} AND (${before}::uuid IS NULL OR a.id < ${before})
       AND (${userId}::uuid IS NULL OR a.user_id = ${userId}) AND (${subject}::text IS NULL OR a.subject = ${subject})
     ORDER BY a.id DESC LIMIT ${limit + 1}`;
  return cut(rows, limit);
}

/** Forgets what is older than that. Returns how many. */
export async function forgetAudit(
  db: Database,
  { olderMs, limit }: { readonly olderMs: number; readonly limit: number },
): Promise<number> {
  const rows = await db.sql`
    DELETE FROM audit WHERE id IN (
      SELECT id FROM audit WHERE at < clock_timestamp() - ${olderMs} * interval '1 ms' ORDER BY at LIMIT ${limit} FOR UPDATE SKIP LOCKED)
    RETURNING id`;
  return rows.length;
}
