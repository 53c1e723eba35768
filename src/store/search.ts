/**
 * Full-text search of sessions: titles, what people said, what was answered, in no particular language. The words of the log are kept
 * beside it (`passage`), and written behind the commits of a turn, which search costs nothing but an index of answers by their time.
 */
import type { Database } from './database.ts';
import { cut, type Rows } from './views.ts';
import { SESSION_COLUMNS, SESSION_JOINS, type SessionFilter, type SessionRow } from './views-sessions.ts';

/** Messages and answers that are taken in by one statement. */
const BATCH = 1_000;
/** How long after it was written something may become visible: longer than a statement may take. */
const VISIBLE_AFTER_MS = 60_000;

/** What was written behind a time and an id, in that order, in sessions that are there: locked, so that none is deleted meanwhile. */
const TAKE_IN = `
  WITH fresh AS MATERIALIZED (
    SELECT * FROM (
      (SELECT m.id, m.session_id, NULL::int AS position, m.created_at AS at, m.parts FROM message m
        WHERE m.created_at >= $1::timestamptz AND (m.created_at, m.id) > ($1::timestamptz, $2::uuid) AND m.user_id IS NOT NULL
        ORDER BY m.created_at, m.id LIMIT ${BATCH})
      UNION ALL
      (SELECT e.turn_id, e.session_id, e.position, e.created_at, e.parts FROM entry e
        WHERE e.created_at >= $1::timestamptz AND (e.created_at, e.turn_id) > ($1::timestamptz, $2::uuid) AND e.kind = 'assistant'
        ORDER BY e.created_at, e.turn_id LIMIT ${BATCH})) both_kinds ORDER BY at, id LIMIT ${BATCH}
  ), there AS (
    SELECT f.* FROM fresh f JOIN session s ON s.id = f.session_id
     WHERE said_in(f.parts) <> '' AND NOT EXISTS (SELECT FROM passage p WHERE p.id = f.id) FOR KEY SHARE OF s
  ), added AS (
    INSERT INTO passage (id, session_id, position, at, words)
    SELECT id, session_id, position, at, to_tsvector('simple', said_in(parts)) FROM there ON CONFLICT DO NOTHING)
  SELECT at, id, (SELECT count(*) FROM fresh)::int AS count FROM fresh ORDER BY at DESC, id DESC LIMIT 1`;

/**
 * Takes in what was said and answered since this was last done, by whomever; at most so many batches of it. Beside another that does the
 * same both come to the same rows.
 */
export async function takeInPassages(db: Database, batches: number): Promise<void> {
  const [newest] = await db.sql<{ at: Date }>`SELECT at FROM passage ORDER BY at DESC LIMIT 1`;
  let at = new Date((newest?.at.getTime() ?? VISIBLE_AFTER_MS) - VISIBLE_AFTER_MS);
  let id = '00000000-0000-0000-0000-000000000000';
  for (let batch = 0; batch < batches; batch += 1) {
    const [last] = await db.read<{ at: Date; id: string; count: number }>(TAKE_IN, at, id);
    if (last === undefined || last.count < BATCH) return;
    ({ at, id } = last);
  }
}

/** Where a session says what was looked for. */
export interface Match {
  readonly where: 'title' | 'said' | 'answered';
  /** Of an answer: its place in the log. */
  readonly position: number | null;
  /** A short part of the text, around the words. */
  readonly text: string;
}

export type FoundRow = SessionRow & { readonly match: Match };

/** As SESSIONS, of those that say $4: in a passage all its words, in the title these or the text as it stands. */
const FOUND = `
  WITH asked AS MATERIALIZED (SELECT websearch_to_tsquery('simple', $3) AS query),
  hit AS MATERIALIZED (
    SELECT p.session_id AS id FROM passage p WHERE p.words @@ (SELECT query FROM asked)
    UNION
    SELECT s.id FROM session s
     WHERE s.team_id = $1 AND (position(lower($3) IN lower(s.title)) > 0 OR to_tsvector('simple', s.title) @@ (SELECT query FROM asked))
  ), page AS MATERIALIZED (
    SELECT s.* FROM session s
     WHERE s.team_id = $1 AND s.parent_id IS NULL AND ($2::uuid IS NULL OR s.id < $2) AND ($4 OR s.archived_at IS NULL) AND s.id IN (SELECT id FROM hit)
     ORDER BY s.id DESC LIMIT $5)
  SELECT ${SESSION_COLUMNS},
         jsonb_build_object('where', CASE WHEN best.id IS NULL THEN 'title' WHEN best.position IS NULL THEN 'said' ELSE 'answered' END,
           'position', best.position, 'text', CASE WHEN best.id IS NULL THEN s.title ELSE
             ts_headline('simple', said_in(best.parts), (SELECT query FROM asked), 'StartSel="", StopSel="", MaxWords=24, MinWords=8, MaxFragments=1, ShortWord=0') END) AS match
    FROM page s ${SESSION_JOINS}
    LEFT JOIN LATERAL (
      SELECT p.id, p.position, coalesce(m.parts, e.parts) AS parts
        FROM passage p LEFT JOIN message m ON m.id = p.id LEFT JOIN entry e ON e.session_id = p.session_id AND e.position = p.position
       WHERE p.session_id = s.id AND p.words @@ (SELECT query FROM asked)
       ORDER BY ts_rank(p.words, (SELECT query FROM asked)) DESC, p.at DESC LIMIT 1) best ON true
   ORDER BY s.id DESC`;

/** Batches that a search takes in first: far more than was written since a worker last did. */
const BATCHES_OF_SEARCH = 10;

/** The newest first, as of now. */
export async function searchSessions(
  db: Database,
  { teamId, before, withArchived = false }: Omit<SessionFilter, 'id'>,
  { text, limit }: { readonly text: string; readonly limit: number },
): Promise<Rows<FoundRow>> {
  await takeInPassages(db, BATCHES_OF_SEARCH);
  const values = [teamId, before ?? null, text, withArchived, limit + 1];
  return cut(await db.read<FoundRow & Record<string, unknown>>(FOUND, ...values), limit);
}
