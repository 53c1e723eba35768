/** Deliveries of webhooks. What makes one is `append_events`, with the event. Ids are UUIDs. */
import type { EventType } from '../core/event.ts';
import { type AfterTry, FAILING_MS, type Sent, WEBHOOK_TEST } from '../core/webhook.ts';
import type { Database } from './database.ts';
import type { Sealing } from './sealing.ts';
import { cut, type Rows } from './views.ts';

/** One wake-up of a delivery. */
export interface DeliveryWake {
  readonly deliveryId: string;
  readonly wake: number;
}

/** Deliveries that are due and have no job, or had one that nobody has looked for within `ageMs`. */
export async function queueDeliveries(
  db: Database,
  { ageMs, limit }: { readonly ageMs: number; readonly limit: number },
): Promise<readonly (DeliveryWake & { readonly isNew: boolean })[]> {
  const rows = await db.rows<{ delivery_id: string; wake: number; is_new: boolean }>(
    'queue_deliveries',
    ageMs,
    limit,
  );
  return rows.map((row) => ({ deliveryId: row.delivery_id, wake: row.wake, isNew: row.is_new }));
}

/** Its next wake number; null where it has moved on. */
export function requeueDelivery(db: Database, { deliveryId, wake }: DeliveryWake): Promise<number | null> {
  return db.transition('requeue_delivery', deliveryId, wake);
}

/** An event as Postgres tells it in JSON. */
export interface DeliveredEvent {
  readonly seq: number;
  readonly type: EventType;
  readonly sessionId: string;
  readonly taskId: string | null;
  readonly turn: number | null;
  readonly data: Readonly<Record<string, unknown>>;
  readonly at: string;
}

export type ClaimedDelivery =
  | {
      readonly outcome: 'claimed';
      readonly type: string;
      readonly url: string;
      /** Sealed, in hexadecimal: `openSecret`. */
      readonly secret: string;
      /** The webhook whose secret it is. */
      readonly signer: string;
      /** This one included. */
      readonly tries: number;
      readonly at: string;
      readonly webhookId: string | null;
      /** Null: it is a test. */
      readonly event: DeliveredEvent | null;
    }
  /** `deferred`: others are being tried of the same receiver, and it is due a little later. */
  | { readonly outcome: 'ended' | 'deferred' | 'skipped' };

/** What it is signed with. Throws the `UserError`s of `Sealing.open`. */
export function openSecret(
  { secret, signer }: Extract<ClaimedDelivery, { outcome: 'claimed' }>,
  sealing: Sealing,
): Buffer {
  return sealing.open(Buffer.from(secret, 'hex'), { table: 'webhook', id: signer });
}

export interface Claim {
  readonly deliveryId: string;
  /** A UUID; every write of its outcome names it. */
  readonly claim: string;
}

export function claimDelivery(
  db: Database,
  { deliveryId, claim, leaseMs }: Claim & { readonly leaseMs: number },
): Promise<ClaimedDelivery> {
  return db.transition('claim_delivery', deliveryId, claim, leaseMs);
}

/** `returned`: the try was broken off, and does not count. */
export type DeliveryEnd =
  | (AfterTry & { readonly answered: Sent['status']; readonly said: string })
  | { readonly kind: 'returned' };

export type SettledDelivery =
  | { readonly outcome: 'settled'; readonly disabled?: 'gone' | 'failing' }
  | { readonly outcome: 'skipped' };

export function settleDelivery(
  db: Database,
  { deliveryId, claim }: Claim,
  end: DeliveryEnd,
): Promise<SettledDelivery> {
  return db.transition('settle_delivery', deliveryId, claim, end, FAILING_MS);
}

export type ReplayOutcome =
  | { readonly outcome: 'replayed' | 'not_found' }
  | { readonly outcome: 'refused'; readonly why: string };

interface OfTeam {
  readonly teamId: string;
  readonly id: string;
}

export function replayDelivery(db: Database, { teamId, id }: OfTeam): Promise<ReplayOutcome> {
  return db.transition('replay_delivery', teamId, id);
}

/** A `webhook.test` on its way to a webhook. A repeat makes nothing. */
export async function addTestDelivery(
  db: Database,
  { teamId, id, webhookId }: OfTeam & { readonly webhookId: string },
): Promise<void> {
  await db.sql`
    INSERT INTO webhook_delivery (id, team_id, webhook_id, type)
    SELECT ${id}, team_id, id, ${WEBHOOK_TEST} FROM webhook WHERE id = ${webhookId} AND team_id = ${teamId} AND removed_at IS NULL
        ON CONFLICT DO NOTHING`;
}

export interface DeliveryRow {
  readonly id: string;
  readonly webhookId: string | null;
  readonly taskId: string | null;
  readonly type: string;
  readonly rootId: string | null;
  readonly seq: number | null;
  readonly status: 'pending' | 'delivered' | 'failed';
  readonly tries: number;
  readonly dueAt: Date | null;
  readonly isAtWork: boolean;
  readonly answered: number | null;
  readonly said: string | null;
  readonly createdAt: Date;
  readonly triedAt: Date | null;
  readonly endedAt: Date | null;
}

export interface DeliveryFilter {
  readonly teamId: string;
  readonly id?: string;
  readonly webhookId?: string | undefined;
  readonly taskId?: string | undefined;
  readonly status?: string | undefined;
  readonly before?: string | undefined;
}

/** The newest first, by their time: the id of a test may be one that its Idempotency-Key made. */
export async function readDeliveries(
  db: Database,
  filter: DeliveryFilter,
  limit: number,
): Promise<Rows<DeliveryRow>> {
  const { teamId, id = null, webhookId = null, taskId = null, status = null, before = null } = filter;
  const rows = await db.sql<DeliveryRow & Record<string, unknown>>`
    SELECT id, webhook_id AS "webhookId", task_id AS "taskId", type, root_id AS "rootId", seq::float8 AS seq, status, tries, due_at AS "dueAt",
           claim IS NOT NULL AS "isAtWork", answered, said, created_at AS "createdAt", tried_at AS "triedAt", ended_at AS "endedAt"
      FROM webhook_delivery
     WHERE team_id = ${teamId} AND (${id}::uuid IS NULL OR id = ${id}) AND (${webhookId}::uuid IS NULL OR webhook_id = ${webhookId})
       AND (${taskId}::uuid IS NULL OR task_id = ${taskId}) AND (${status}::text IS NULL OR status = ${status})
       AND (${before}::uuid IS NULL OR (created_at, id) < (SELECT created_at, id FROM webhook_delivery WHERE id = ${before} AND team_id = ${teamId}))
     ORDER BY created_at DESC, id DESC LIMIT ${limit + 1}`;
  return cut(rows, limit);
}

export async function readDelivery(db: Database, { teamId, id }: OfTeam): Promise<DeliveryRow | undefined> {
  return (await readDeliveries(db, { teamId, id }, 1)).rows[0];
}

/** Forgets those that ended before that. Returns how many. */
export async function forgetDeliveries(
  db: Database,
  { olderMs, limit }: { readonly olderMs: number; readonly limit: number },
): Promise<number> {
  const rows = await db.sql`
    DELETE FROM webhook_delivery WHERE id IN (
      SELECT id FROM webhook_delivery WHERE ended_at < clock_timestamp() - ${olderMs} * interval '1 ms' ORDER BY ended_at LIMIT ${limit} FOR UPDATE SKIP LOCKED)
    RETURNING id`;
  return rows.length;
}
