/** Directories that clients sent. Ids are UUIDs. */
import type { Database } from './database.ts';

export interface UploadRow {
  readonly id: string;
  /** Where it was sent from, as the client says. */
  readonly directory: string;
  /** Names where its snapshot is kept. */
  readonly lineage: string;
  readonly snapshot: string;
  readonly createdAt: Date;
}

export interface NewUpload extends Omit<UploadRow, 'createdAt'> {
  readonly teamId: string;
  readonly userId: string;
}

/** Once its snapshot is where everybody who needs it can have it. A repeat returns what the first one wrote. */
export async function recordUpload(db: Database, upload: NewUpload): Promise<UploadRow> {
  const { id, teamId, userId, directory, lineage, snapshot } = upload;
  await db.sql`
    INSERT INTO upload (id, team_id, user_id, directory, lineage, snapshot)
    VALUES (${id}, ${teamId}, ${userId}, ${directory}, ${lineage}, ${snapshot}) ON CONFLICT DO NOTHING`;
  const row = await readUpload(db, { teamId, id });
  if (row === undefined) throw new Error(`the upload ${id} was not written`);
  return row;
}

/** Undefined where the team has no such upload. */
export async function readUpload(
  db: Database,
  upload: { readonly teamId: string; readonly id: string },
): Promise<UploadRow | undefined> {
  const [row] = await db.sql<UploadRow & Record<string, unknown>>`
    SELECT id, directory, lineage, snapshot, created_at AS "createdAt"
      FROM upload WHERE id = ${upload.id} AND team_id = ${upload.teamId}`;
  return row;
}

/**
 * The same, for something that is about to begin with it: from then on it stays as long as a new one. One that was forgotten meanwhile
 * is undefined.
 */
export async function useUpload(
  db: Database,
  upload: { readonly teamId: string; readonly id: string },
): Promise<UploadRow | undefined> {
  const [row] = await db.sql<UploadRow & Record<string, unknown>>`
    UPDATE upload SET used_at = clock_timestamp() WHERE id = ${upload.id} AND team_id = ${upload.teamId}
    RETURNING id, directory, lineage, snapshot, created_at AS "createdAt"`;
  return row;
}

/**
 * Forgets uploads that nothing began with for so long, and that no session has begun with, or is to have as one of its roots. Returns how many. Races: what begins with one
 * locks its row first, and is then seen here.
 */
export async function forgetUploads(
  db: Database,
  { unusedMs, limit }: { readonly unusedMs: number; readonly limit: number },
): Promise<number> {
  const rows = await db.sql`
    DELETE FROM upload u
     WHERE u.used_at < clock_timestamp() - ${unusedMs} * interval '1 millisecond'
       AND u.id IN (SELECT id FROM upload o
                     WHERE o.used_at < clock_timestamp() - ${unusedMs} * interval '1 millisecond'
                       AND NOT EXISTS (SELECT FROM workspace w WHERE w.lineage = o.lineage AND w.source->>'uploadId' = o.id::text)
                       AND NOT EXISTS (SELECT FROM workspace w WHERE w.kind = 'roots' AND w.head IS NULL
                                          AND w.source->'roots' @> jsonb_build_array(jsonb_build_object('uploadId', o.id::text)))
                     ORDER BY o.used_at LIMIT ${limit})
    RETURNING u.id`;
  return rows.length;
}
