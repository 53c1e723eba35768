/** What a team was answered under an Idempotency-Key, for its day: of all but tasks, whose key stands in their own transaction. */
import type { Database } from './database.ts';
import { toJson } from './json.ts';

export interface AnsweredRequest {
  readonly teamId: string;
  readonly key: string;
  /** SHA-256, in hexadecimal digits. */
  readonly requestHash: string;
}

export interface KeptAnswer {
  readonly requestHash: string;
  /** Null: what was made was deleted with its session. */
  readonly answer: unknown;
}

export async function findAnswer(
  db: Database,
  { teamId, key }: Pick<AnsweredRequest, 'teamId' | 'key'>,
): Promise<KeptAnswer | undefined> {
  const [row] = await db.sql<KeptAnswer>`
    SELECT encode(request_hash, 'hex') AS "requestHash", answer
      FROM idempotency_key
     WHERE team_id = ${teamId} AND key = ${key} AND created_at >= clock_timestamp() - interval '24 hours'`;
  return row;
}

/** Keeps it unless another is kept, and returns what is. `sessionId`: whose deletion takes the answer along. */
export async function keepAnswer(
  db: Database,
  request: AnsweredRequest & { readonly sessionId: string | null; readonly answer: unknown },
): Promise<KeptAnswer> {
  const { teamId, key, requestHash, sessionId, answer } = request;
  await db.sql`
    INSERT INTO idempotency_key AS k (team_id, key, request_hash, answer, session_id)
    VALUES (${teamId}, ${key}, decode(${requestHash}, 'hex'), ${toJson(answer)}::jsonb, ${sessionId})
    ON CONFLICT (team_id, key) DO UPDATE SET request_hash = excluded.request_hash, answer = excluded.answer,
      session_id = excluded.session_id, created_at = clock_timestamp()
     WHERE k.created_at < clock_timestamp() - interval '24 hours'`;
  return (await findAnswer(db, { teamId, key })) ?? { requestHash, answer };
}
