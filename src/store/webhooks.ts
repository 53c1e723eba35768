/** Where a team's events are delivered. Ids are UUIDs. */
import { MAX_WEBHOOKS } from '../core/webhook.ts';
import type { Database } from './database.ts';
import type { Sealing } from './sealing.ts';
import { cut, type Rows } from './views.ts';

interface OfTeam {
  readonly teamId: string;
  readonly id: string;
}

export interface NewWebhook extends OfTeam {
  /** Who makes it. */
  readonly userId: string;
  readonly url: string;
  /** Types of events; none: all. */
  readonly events: readonly string[];
  /** As receivers are told it. */
  readonly secret: Buffer;
  /** What tasks have delivered is signed with its secret from now on. The team's first one's is anyway, and the first one's that is made where that was removed. */
  readonly signsTasks: boolean;
  /** SHA-256 (hexadecimal) of what was asked, so that an id cannot stand for two requests. */
  readonly requestHash: string;
}

/** Throws `UserError` `no_encryption_key` where the secret could not be sealed. */
export async function createWebhook(
  db: Database,
  webhook: NewWebhook,
  sealing: Sealing,
): Promise<{ readonly outcome: 'created' | 'repeated' | 'conflict' | 'too_many' }> {
  const { teamId, userId, secret, ...rest } = webhook;
  const given = {
    ...rest,
    secret: sealing.seal(secret, { table: 'webhook', id: webhook.id }).toString('hex'),
  };
  return db.transition('create_webhook', teamId, userId, given, MAX_WEBHOOKS);
}

export interface WebhookChange {
  readonly url?: string;
  readonly events?: readonly string[];
  readonly enabled?: boolean;
  readonly removed?: true;
}

export function changeWebhook(
  db: Database,
  { teamId, id }: OfTeam,
  change: WebhookChange,
): Promise<{ readonly outcome: 'changed' | 'not_found' }> {
  return db.transition('change_webhook', teamId, id, change);
}

export interface WebhookRow {
  readonly id: string;
  readonly url: string;
  readonly events: readonly string[];
  readonly createdBy: string;
  readonly signsTasks: boolean;
  readonly createdAt: Date;
  readonly failingSince: Date | null;
  readonly disabledAt: Date | null;
  readonly disabledReason: 'person' | 'gone' | 'failing' | null;
}

/** The team's webhooks that were not removed, the newest first; the one of `id` where that is given. Never with their secrets. */
export async function readWebhooks(
  db: Database,
  filter: { readonly teamId: string; readonly id?: string; readonly before?: string | undefined },
  limit: number,
): Promise<Rows<WebhookRow>> {
  const { teamId, id = null, before = null } = filter;
  const rows = await db.sql<WebhookRow & Record<string, unknown>>`
    SELECT w.id, w.url, w.events, u.name AS "createdBy", w.id IS NOT DISTINCT FROM t.signing_webhook_id AS "signsTasks", w.created_at AS "createdAt",
           w.failing_since AS "failingSince", w.disabled_at AS "disabledAt", w.disabled_reason AS "disabledReason"
      FROM webhook w JOIN team t ON t.id = w.team_id JOIN "user" u ON u.id = w.user_id
     WHERE w.team_id = ${teamId} AND w.removed_at IS NULL AND (${id}::uuid IS NULL OR w.id = ${id})
       AND (${before}::uuid IS NULL OR (w.created_at, w.id) < (SELECT created_at, id FROM webhook WHERE id = ${before} AND team_id = ${teamId}))
     ORDER BY w.created_at DESC, w.id DESC LIMIT ${limit + 1}`;
  return cut(rows, limit);
}

export async function readWebhook(db: Database, { teamId, id }: OfTeam): Promise<WebhookRow | undefined> {
  return (await readWebhooks(db, { teamId, id }, 1)).rows[0];
}

/** Whether what tasks have delivered can be signed: since the team's first webhook was made. */
export async function canSignForTasks(db: Database, teamId: string): Promise<boolean> {
  const rows = await db.sql`SELECT FROM team WHERE id = ${teamId} AND signing_webhook_id IS NOT NULL`;
  return rows.length > 0;
}
