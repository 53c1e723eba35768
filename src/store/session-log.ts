/** Reads of a session's log and of a turn's calls: what a worker needs to go on. */
import type { Entry } from '../core/entry.ts';
import type { Profile } from '../core/profile.ts';
import type { Call } from '../core/turn.ts';
import type { Database } from './database.ts';

/** Entries after `position` (0: all), in order. */
export async function readEntries(db: Database, sessionId: string, position: number): Promise<Entry[]> {
  const rows = await db.rows<{ entry: Entry }>('read_entries', sessionId, position);
  return rows.map((row) => row.entry);
}

/**
 * As `readEntries`, for whoever does not know the log: of what its newest summary stands for without the parts, but of what the user
 * said.
 */
export async function readLog(db: Database, sessionId: string, position: number): Promise<Entry[]> {
  const rows = await db.rows<{ entry: Entry }>('read_log', sessionId, position);
  return rows.map((row) => row.entry);
}

/** A part of a session's log: the positions behind `after`, up to `last` (null: to its end), are that session's own entries. */
export interface LogPart {
  readonly sessionId: string;
  readonly after: number;
  readonly last: number | null;
}

/** What a log is made of, the first part first: one part, but of a fork. */
export async function readLogParts(db: Database, sessionId: string): Promise<LogPart[]> {
  const rows = await db.rows<{ session_id: string; after: number; last: number | null }>(
    'log_parts',
    sessionId,
  );
  return rows.map(({ session_id, after, last }) => ({ sessionId: session_id, after, last }));
}

type CallRow = Omit<Call, 'arguments'> & Record<string, unknown>;

/** The calls of a turn in the model's order, with the arguments from the answer that asked for them. */
export async function readCalls(db: Database, turnId: string, answer: Entry): Promise<Call[]> {
  const rows = await db.sql<CallRow & { denial: string | null; child: Call['child'] | null }>`
    SELECT c.id, c.ordinal, c.call_id AS "callId", c.name, c.effect, c.status, c.denial, d.status AS child
      FROM tool_call c LEFT JOIN delegation d ON d.tool_call_id = c.id WHERE c.turn_id = ${turnId} ORDER BY c.ordinal`;
  const parts = answer.kind === 'assistant' ? answer.parts.filter((part) => part.type === 'tool') : [];
  return rows.map(({ denial, child, ...row }) => ({
    ...row,
    ...(denial === null ? {} : { denial }),
    ...(child == null ? {} : { child }),
    arguments: parts[row.ordinal]?.arguments ?? '',
  }));
}

export async function readProfile(db: Database, hash: string): Promise<Profile | undefined> {
  const [row] = await db.sql<{ body: Profile }>`SELECT body FROM profile WHERE hash = decode(${hash}, 'hex')`;
  return row?.body;
}

/** Whether the task's cancel mark is set and how many waits the turn has open: what may change while a turn runs. */
export async function readStanding(
  db: Database,
  turnId: string,
): Promise<{ cancelRequested: boolean; openWaits: number } | undefined> {
  const [row] = await db.sql<{ cancelRequested: boolean; openWaits: number }>`
    SELECT t.cancel_requested_at IS NOT NULL AS "cancelRequested", u.open_waits AS "openWaits"
      FROM turn u JOIN task t ON t.id = u.task_id WHERE u.id = ${turnId}`;
  return row;
}
