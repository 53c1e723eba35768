/**
 * Builders for tests against the store: a database of its own with a team and a user, tasks brought to where a test needs
 * them by the transitions themselves, whole-row comparison, and the invariants that hold after every commit.
 */

import { createHash } from 'node:crypto';
import { afterAll, beforeAll } from 'vitest';
import { newId } from '../../src/clock.ts';
import type { UserPart } from '../../src/core/entry.ts';
import type { Profile } from '../../src/core/profile.ts';
import { silentLog } from '../../src/log.ts';
import type { CompactedLog } from '../../src/store/compaction.ts';
import { type Database, openDatabase } from '../../src/store/database.ts';
import type { Fork } from '../../src/store/forks.ts';
import { createKey, type NewKey } from '../../src/store/keys.ts';
import type { Merge, Revert } from '../../src/store/revisions.ts';
import { createTask, type Submission, type SubmitOutcome } from '../../src/store/tasks.ts';
import {
  type CallResult,
  type Claim,
  type ClaimOutcome,
  claimTurn,
  type Held,
  type NewCall,
  parkTurn,
  type RecordedAnswer,
  recordAnswer,
} from '../../src/store/turns.ts';
import { registerWorker } from '../../src/store/workers.ts';
import { createTestDatabase } from './database.ts';

export { changesBetween, type RowChanges, type Rows, snapshotRows } from './rows.ts';
export { checkWitnesses } from './witnesses.ts';

/** A key of someone who is there. */
export async function keyOf(
  db: Database,
  key: NewKey,
): Promise<{ readonly id: string; readonly apiKey: string }> {
  const made = await createKey(db, key);
  if (made === undefined) throw new Error('no key was made');
  return made;
}

export const PROFILE: Profile = {
  agent: 'build',
  prompt: 'You are a coding agent.',
  tools: ['read_file', 'bash'],
  model: 'test/scripted',
  mode: 'safe',
};

/** Pauses before each try after a loss, in milliseconds (PROTOCOL 13). */
export const BACKOFF_MS = [0, 1_000, 5_000, 30_000];

export interface Store {
  readonly url: string;
  readonly db: Database;
  readonly teamId: string;
  readonly userId: string;
}

/** A store for the test file, opened before its tests and dropped after them. */
export function useStore(): Store {
  let store: Store | undefined;
  let drop = async () => {};
  beforeAll(async () => {
    const database = await createTestDatabase();
    const db = openDatabase({ url: database.url, log: silentLog });
    drop = async () => {
      await db.close();
      await database.drop();
    };
    await learnToForget(db);
    store = { url: database.url, db, ...(await addTeam(db)) };
  });
  afterAll(() => drop());
  const opened = (): Store => {
    if (store === undefined) throw new Error('the store is open only while tests run');
    return store;
  };
  return {
    get url() {
      return opened().url;
    },
    get db() {
      return opened().db;
    },
    get teamId() {
      return opened().teamId;
    },
    get userId() {
      return opened().userId;
    },
  };
}

export async function addTeam(db: Database): Promise<{ teamId: string; userId: string }> {
  const [teamId, userId] = [newId(), newId()];
  await db.sql`INSERT INTO team (id, name) VALUES (${teamId}, ${`team ${teamId}`})`;
  await db.sql`INSERT INTO "user" (id, team_id, name) VALUES (${userId}, ${teamId}, 'Ada')`;
  return { teamId, userId };
}

export interface Wanted {
  /** Without it the task gets a session of its own. */
  readonly sessionId?: string;
  readonly limits?: Partial<Submission['task']['limits']>;
  /** What its requests are reserved by; nobody knows what they cost where left out. */
  readonly accounts?: Submission['task']['reserve'];
  readonly text?: string;
  readonly attached?: readonly UserPart[];
  readonly prompt?: string;
  readonly idempotency?: Submission['idempotency'];
}

/** A submission with fresh ids. */
export function submissionOf({ teamId, userId }: Store, wanted: Wanted = {}): Submission {
  const profile = { ...PROFILE, prompt: wanted.prompt ?? PROFILE.prompt };
  return {
    teamId,
    userId,
    session:
      wanted.sessionId === undefined
        ? { id: newId(), title: 'A session', workspace: { id: newId(), kind: 'local', path: '/srv/project' } }
        : { id: wanted.sessionId },
    task: {
      id: newId(),
      turnId: newId(),
      messageId: newId(),
      parts: [{ type: 'text', text: wanted.text ?? 'Mend the test.' }, ...(wanted.attached ?? [])],
      profile,
      profileHash: createHash('sha256').update(JSON.stringify(profile)).digest('hex'),
      limits: { turns: 70, treeTurns: 1000, tokens: null, seconds: null, ...wanted.limits },
      ...(wanted.accounts === undefined ? {} : { reserve: wanted.accounts }),
      metadata: {},
    },
    ...(wanted.idempotency === undefined ? {} : { idempotency: wanted.idempotency }),
  };
}

/** A committed task. `turnId` is its first turn, where the session was free. */
export interface Submitted {
  readonly taskId: string;
  readonly sessionId: string;
  readonly turnId: string;
  readonly outcome: SubmitOutcome;
}

export async function submit(store: Store, wanted: Wanted = {}): Promise<Submitted> {
  const submission = submissionOf(store, wanted);
  const outcome = await createTask(store.db, submission);
  if (outcome.outcome !== 'created') throw new Error(`the task was not created: ${outcome.outcome}`);
  return {
    taskId: submission.task.id,
    sessionId: outcome.sessionId,
    turnId: submission.task.turnId,
    outcome,
  };
}

/** Registers a worker. Returns its id. */
export async function addWorker(db: Database, leaseMs = 600_000): Promise<string> {
  const id = newId();
  const lockKey = BigInt(`0x${id.slice(-12).replaceAll('-', '')}`).toString();
  const identity = { id, host: 'test-host', pid: process.pid, pidStartedAt: '1', lockKey, version: '0.0.0' };
  await registerWorker(db, identity, leaseMs);
  return id;
}

export function claimOf(turnId: string, workerId: string, reserve = 0): Claim {
  return { turnId, attemptId: newId(), workerId, reserve, nextTurnId: newId() };
}

/** A task whose turn a worker holds. */
export interface Running extends Submitted, Held {
  readonly workerId: string;
}

export async function claim(
  db: Database,
  turnId: string,
  options: { workerId?: string; reserve?: number } = {},
): Promise<Held & { workerId: string; outcome: ClaimOutcome }> {
  const wanted = claimOf(turnId, options.workerId ?? (await addWorker(db)), options.reserve);
  const outcome = await claimTurn(db, wanted);
  if (outcome.outcome !== 'claimed') throw new Error(`the turn was not claimed: ${outcome.outcome}`);
  return { turnId, attemptId: wanted.attemptId, workerId: wanted.workerId, outcome };
}

export async function running(store: Store, wanted: Wanted & { reserve?: number } = {}): Promise<Running> {
  const submitted = await submit(store, wanted);
  const { reserve } = wanted;
  const { attemptId, workerId } = await claim(store.db, submitted.turnId, reserve ? { reserve } : {});
  return { ...submitted, attemptId, workerId };
}

/** A fork of a session before all that it did, with fresh ids. */
export function forkOf({ teamId, userId }: Store, sessionId: string, change: Partial<Fork> = {}) {
  return {
    ...{ teamId, userId, id: newId(), title: 'A fork', from: sessionId, at: 0 },
    workspace: {
      id: newId(),
      kind: 'empty' as const,
      source: null,
      rules: null,
      projectServers: null,
      lineage: sessionId,
      base: null,
      head: null,
    },
    notice: [{ type: 'text' as const, text: 'A copy.' }],
    ...change,
  };
}

/** A revert of a session to before all that it did, with a fresh id. */
export function revertOf({ teamId, userId }: Store, sessionId: string, change: Partial<Revert> = {}): Revert {
  const parts = [{ type: 'text' as const, text: 'Back.' }];
  return { ...{ teamId, userId, sessionId, id: newId(), to: 0, snapshot: null, parts }, ...change };
}

/** A merge of a session's own beginning into it, with a fresh id. */
export function mergeOf({ teamId, userId }: Store, sessionId: string, change: Partial<Merge> = {}): Merge {
  const parts = [{ type: 'text' as const, text: 'Merged.' }];
  const files = { base: 'b', ours: null, theirs: 't', snapshot: 'm', conflicts: [] };
  return { ...{ teamId, userId, sessionId, id: newId(), from: sessionId, parts, ...files }, ...change };
}

/** One call of an answer. */
export function callOf(status: NewCall['status'] = 'requested', more: Partial<NewCall> = {}): NewCall {
  const id = newId();
  const ordinal = more.ordinal ?? 0;
  const asked =
    status === 'awaiting_approval'
      ? { approvalId: newId(), always: { kind: 'command', value: 'npm test' } as const }
      : {};
  return {
    id,
    ordinal,
    callId: `call_${ordinal}`,
    name: 'bash',
    effect: 'external',
    status,
    ...asked,
    ...more,
  };
}

/** An answer that asks for `calls`; without any it ends the task. */
export function answerOf(
  calls: readonly NewCall[] = [],
  used: { input?: number; output?: number } = {},
): RecordedAnswer {
  const tools = calls.map(({ callId, name }) => ({ type: 'tool' as const, callId, name, arguments: '{}' }));
  return {
    before: [],
    parts: [{ type: 'text', text: 'An answer.' }, ...tools],
    stopReason: calls.length > 0 ? 'tool_calls' : 'stop',
    usage: {
      model: 'test/scripted',
      input: used.input ?? 10,
      output: used.output ?? 5,
      cached: 0,
      reasoning: 0,
      latencyMs: 12,
      firstTokenMs: 3,
    },
    calls,
  };
}

export interface Answered extends Running {
  readonly calls: readonly NewCall[];
  readonly answerPosition: number;
}

export async function answered(
  store: Store,
  calls: readonly NewCall[] = [],
  wanted: Wanted = {},
): Promise<Answered> {
  const held = await running(store, wanted);
  const outcome = await recordAnswer(store.db, held, answerOf(calls));
  if (outcome.outcome !== 'recorded') throw new Error(`the answer was not recorded: ${outcome.outcome}`);
  return { ...held, calls, answerPosition: outcome.answerPosition };
}

/** A task that waits for a person: its one call needs approval. */
export async function parked(
  store: Store,
  wanted: Wanted = {},
): Promise<Answered & { call: NewCall; approvalId: string }> {
  const call = callOf('awaiting_approval');
  const asked = await answered(store, [call], wanted);
  const outcome = await parkTurn(store.db, asked, []);
  if (outcome.outcome !== 'parked') throw new Error(`the turn was not parked: ${outcome.outcome}`);
  return { ...asked, call, approvalId: call.approvalId ?? '' };
}

export function resultOf(call: NewCall, more: Partial<CallResult> = {}): CallResult {
  return {
    id: call.id,
    status: 'succeeded',
    parts: [{ type: 'text', text: 'done' }],
    durationMs: 7,
    ...more,
  };
}

/** A log that is made shorter by taking out its first entry's output. */
export function pruningOf(): CompactedLog {
  return { entry: { kind: 'pruning', parts: [], replaces: { results: [1] } }, before: 900, after: 400 };
}

/** A log whose first entry a summary stands for. */
export function summaryOf(): CompactedLog {
  const parts = [{ type: 'text' as const, text: 'A summary.' }];
  const entry = { kind: 'compaction' as const, parts, replaces: { after: 0, to: 1 } };
  return { entry, before: 900, after: 300, usage: answerOf().usage };
}

/** Ends the worker, as a sweeper does that saw its process gone. */
export async function lose(db: Database, workerId: string): Promise<void> {
  await db.sql`UPDATE worker SET ended_at = clock_timestamp() WHERE id = ${workerId}`;
}

/** Asked again and again: not from the view, which looks up much more. */
export async function waitsForLock(db: Database, pid: number): Promise<boolean> {
  const text = `SELECT FROM pg_stat_get_activity($1) WHERE wait_event_type = 'Lock'`;
  return (await db.planned('waits_for_lock', text, pid)).length > 0;
}

/** Removes every session and what belongs to it, so that the next test compares and checks few rows. */
export async function forgetSessions(db: Database): Promise<void> {
  await db.sql`SELECT forget_sessions()`;
}

const OF_SESSIONS = [
  ...[
    'event',
    'tree',
    'usage',
    'approval',
    'permission_rule',
    'background_process',
    'tool_call',
    'revision',
    'todo',
    'passage',
    'entry',
  ],
  ...['message', 'attempt', 'turn', 'task', 'session', 'workspace', 'idempotency_key', 'profile'],
  ...['rate_bucket', 'rate_line', 'model_health', 'output_use', 'output', 'webhook_delivery'],
];

/** Not TRUNCATE, after which every transition would be planned anew. Without the foreign keys' triggers: all that refer go too. */
async function learnToForget(db: Database): Promise<void> {
  const all = OF_SESSIONS.map((table) => `DELETE FROM ${table};`).join(' ');
  await db.pool.query(`
    CREATE FUNCTION forget_sessions() RETURNS void LANGUAGE plpgsql SET session_replication_role = replica
    AS $$ BEGIN ${all} END $$`);
}
