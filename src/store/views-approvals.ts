/** Approvals, stored outputs and workers as the API shows them. */
import type { FilePart } from '../core/entry.ts';
import type { Always } from '../core/permission.ts';
import { TASK_IN_HAND } from './agent-state.ts';
import type { Database } from './database.ts';
import { cut, type Rows, readWithPrisma } from './views.ts';

export interface ApprovalRow {
  readonly id: string;
  readonly sessionId: string;
  readonly taskId: string;
  readonly turn: number;
  readonly tool: string;
  readonly arguments: string | null;
  readonly status: string;
  readonly message: string | null;
  readonly always: Always | null;
  /** The workspace's directory, where it is `local`: an `always` holds in it. */
  readonly workspacePath: string | null;
  readonly rootId: string;
  /** From the root session to the one that asks. */
  readonly path: readonly Asker[];
  readonly ruleId: string | null;
  readonly createdAt: Date;
  readonly expiresAt: Date | null;
  readonly resolvedAt: Date | null;
  /** A name. */
  readonly resolvedBy: string | null;
}

export interface Asker {
  readonly sessionId: string;
  readonly title: string;
  readonly agent: string | null;
}

export interface ApprovalFilter {
  readonly teamId: string;
  readonly id?: string | undefined;
  /** Those of the sessions below it, too. */
  readonly sessionId?: string | undefined;
  readonly status?: string | undefined;
  /** Only those younger than this one. */
  readonly after?: string | undefined;
}

export async function readApproval(
  db: Database,
  approval: { readonly teamId: string; readonly id: string },
): Promise<ApprovalRow | undefined> {
  const { rows } = await readApprovals(db, approval, 1);
  return rows[0];
}

/** From the root of the session of approval `a` down to it. */
const PATH = `
  (WITH RECURSIVE up AS (
     SELECT id, parent_id, title, 0 AS steps FROM session WHERE id = a.session_id
     UNION ALL
     SELECT p.id, p.parent_id, p.title, steps + 1 FROM up JOIN session p ON p.id = up.parent_id)
   SELECT jsonb_agg(jsonb_build_object('sessionId', s.id, 'title', s.title, 'agent', p.body->>'agent') ORDER BY steps DESC)
     FROM up s LEFT JOIN ${TASK_IN_HAND} ON true LEFT JOIN profile p ON p.hash = t.profile_hash)`;

/** Of team $1: $2 alone, those of session $3 and of all below it, with status $4, younger than $5, and $6 at most; each may be null. */
const APPROVALS = `
  SELECT a.id, a.session_id AS "sessionId", a.task_id AS "taskId", u.number AS turn, c.name AS tool, a.status,
         a.message, a.always, w.path AS "workspacePath", a.root_id AS "rootId", r.id AS "ruleId", a.created_at AS "createdAt", a.expires_at AS "expiresAt",
         a.resolved_at AS "resolvedAt", (SELECT name FROM "user" WHERE id = a.resolved_by) AS "resolvedBy", ${PATH} AS path,
         (SELECT part->>'arguments' FROM jsonb_array_elements(e.parts) WITH ORDINALITY AS parts(part, place)
           WHERE part->>'type' = 'tool' ORDER BY place OFFSET c.ordinal LIMIT 1) AS arguments
    FROM approval a JOIN session s ON s.id = a.session_id JOIN turn u ON u.id = a.turn_id
    JOIN workspace w ON w.id = s.workspace_id
    JOIN tool_call c ON c.id = a.tool_call_id LEFT JOIN permission_rule r ON r.approval_id = a.id
    LEFT JOIN entry e ON e.session_id = a.session_id AND e.position = u.answer_position
   WHERE s.team_id = $1 AND ($2::uuid IS NULL OR a.id = $2) AND ($4::text IS NULL OR a.status = $4)
     AND ($3::uuid IS NULL OR a.session_id IN (
       WITH RECURSIVE below AS (
         SELECT $3::uuid AS id UNION ALL SELECT d.id FROM below b JOIN session d ON d.parent_id = b.id) SELECT id FROM below))
     AND ($5::uuid IS NULL OR a.id > $5)
   ORDER BY a.id LIMIT $6`;

/** The oldest first: it has waited longest. */
export async function readApprovals(
  db: Database,
  filter: ApprovalFilter,
  limit: number,
): Promise<Rows<ApprovalRow>> {
  const { teamId, id = null, sessionId = null, status = null, after = null } = filter;
  const values = [teamId, id, sessionId, status, after, limit + 1];
  return cut(await db.read<ApprovalRow & Record<string, unknown>>(APPROVALS, ...values), limit);
}

/** What a tool call returned, gzip-compressed; `size` is that of the bytes. `file`: it is one, else text. */
export interface OutputRow {
  readonly size: number;
  readonly gzipped: Uint8Array;
  readonly file?: Pick<FilePart, 'mediaType' | 'name'>;
}

export interface OutputName {
  readonly teamId: string;
  readonly id: string;
  /** The place of a file among the result's parts, from 0; where left out, the whole text, or else the first file. */
  readonly part?: number | undefined;
}

export async function readOutput(db: Database, output: OutputName): Promise<OutputRow | undefined> {
  const whole = output.part === undefined ? await readWholeText(db, output) : undefined;
  return whole ?? readFile(db, output);
}

async function readWholeText(db: Database, { teamId, id }: OutputName): Promise<OutputRow | undefined> {
  const found = await readWithPrisma(db, (prisma) =>
    prisma.toolCall.findFirst({ where: { id, turn: { session: { teamId } } }, select: { output: true } }),
  );
  return found?.output ? { size: found.output.size, gzipped: found.output.body } : undefined;
}

async function readFile(db: Database, { teamId, id, part }: OutputName): Promise<OutputRow | undefined> {
  const [row] = await db.sql<FilePart & { size: number; gzipped: Uint8Array }>`
    SELECT o.size, o.body AS gzipped, f.part->>'mediaType' AS "mediaType", f.part->>'name' AS name
      FROM tool_call c JOIN session s ON s.id = c.session_id
      JOIN entry e ON e.session_id = c.session_id AND e.position = c.result_position
      CROSS JOIN LATERAL (
        SELECT part FROM jsonb_array_elements(e.parts) WITH ORDINALITY AS parts(part, place)
         WHERE part->>'type' = 'file' AND place - 1 = coalesce(${part ?? null}::int, place - 1) ORDER BY place LIMIT 1) f
      JOIN output o ON o.hash = decode(f.part->>'hash', 'hex')
     WHERE c.id = ${id} AND s.team_id = ${teamId}`;
  if (row === undefined) return undefined;
  const { size, gzipped, mediaType, name } = row;
  return { size, gzipped, file: { mediaType, name } };
}

/** Where a worker runs is nobody's business who only has a team's key. */
export interface WorkerRow {
  readonly id: string;
  readonly version: string;
  readonly isAlive: boolean;
  readonly startedAt: Date;
  readonly leaseExpiresAt: Date;
}

/** Workers that have not ended, the newest first. */
export async function readWorkers(
  db: Database,
  before: string | undefined,
  limit: number,
): Promise<Rows<WorkerRow>> {
  const rows = await db.sql<WorkerRow & Record<string, unknown>>`
    SELECT id, version, lease_expires_at > clock_timestamp() AS "isAlive", started_at AS "startedAt",
           lease_expires_at AS "leaseExpiresAt"
      FROM worker WHERE ended_at IS NULL AND (${before ?? null}::uuid IS NULL OR id < ${before ?? null})
     ORDER BY id DESC LIMIT ${limit + 1}`;
  return cut(rows, limit);
}
