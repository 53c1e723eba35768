/** Rules that people made by answering `always`. Ids are UUIDs. */
import type { Always } from '../core/permission.ts';
import type { Database } from './database.ts';
import { cut, type Rows } from './views.ts';

export interface RuleRow extends Always {
  readonly id: string;
  readonly tool: string;
  /** Where it holds: a session tree, or a directory. */
  readonly rootId: string | null;
  readonly path: string | null;
  readonly approvalId: string;
  /** A name; null where nobody has it any more. */
  readonly createdBy: string | null;
  readonly createdAt: Date;
}

/** The rules in force, the newest first. */
export async function readRules(
  db: Database,
  filter: { readonly teamId: string; readonly before?: string | undefined },
  limit: number,
): Promise<Rows<RuleRow>> {
  const { teamId, before = null } = filter;
  const rows = await db.sql<RuleRow & Record<string, unknown>>`
    SELECT r.id, r.tool, r.kind, r.value, r.root_id AS "rootId", r.path, r.approval_id AS "approvalId",
           u.name AS "createdBy", r.created_at AS "createdAt"
      FROM permission_rule r LEFT JOIN "user" u ON u.id = r.created_by
     WHERE r.team_id = ${teamId} AND r.revoked_at IS NULL AND (${before}::uuid IS NULL OR r.id < ${before})
     ORDER BY r.id DESC LIMIT ${limit + 1}`;
  return cut(rows, limit);
}

/** A call, and where it would run. */
export interface RuledCall {
  readonly teamId: string;
  readonly rootId: string;
  /** The directory of a `local` workspace. */
  readonly path: string | null;
  readonly tool: string;
  readonly always: Always;
}

/** Whether a person has allowed exactly this, here, for good. */
export async function isAlwaysAllowed(db: Database, call: RuledCall): Promise<boolean> {
  const { teamId, rootId, path, tool, always } = call;
  const rows = await db.sql`
    SELECT FROM permission_rule
     WHERE team_id = ${teamId} AND revoked_at IS NULL AND (root_id = ${rootId} OR path = ${path})
       AND tool = ${tool} AND kind = ${always.kind} AND value = ${always.value} LIMIT 1`;
  return rows.length > 0;
}

export function revokeRule(
  db: Database,
  rule: { readonly teamId: string; readonly id: string; readonly userId: string },
): Promise<{ readonly outcome: 'revoked' | 'not_found' }> {
  return db.transition('revoke_rule', rule.teamId, rule.id, rule.userId);
}
