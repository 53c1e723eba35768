import { expect, test, vi } from 'vitest';
import { newId } from '../../src/clock.ts';
import { silentLog } from '../../src/log.ts';
import { openDatabase } from '../../src/store/database.ts';
import { cancelTask, createTask, postMessage, resolveApproval } from '../../src/store/tasks.ts';
import type { Held } from '../../src/store/turns.ts';
import {
  claimTurn,
  handBackTurn,
  parkTurn,
  recordAnswer,
  recordResults,
  retryTurn,
  settleTurn,
} from '../../src/store/turns.ts';
import { admitTurns, expireTask, queuedTurns, rewakeTurn, takeOverTurn } from '../../src/store/workers.ts';
import {
  addWorker,
  answerOf,
  callOf,
  checkWitnesses,
  claimOf,
  submissionOf,
  submit,
  useStore,
} from '../support/store.ts';

const store = useStore();
// Hundreds of sessions: seconds on an idle machine, more on a busy one.
vi.setConfig({ testTimeout: 120_000 });
const ROUNDS = 200;
const AT_ONCE = 8;
const SEED = 20261121;

/** mulberry32: the same storm every time, but for how the transactions fall. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** What is there to act on: any of it may have changed by the time that somebody does. */
interface Sight {
  readonly tasks: readonly string[];
  readonly turns: readonly (Held & { readonly wake: number })[];
  readonly calls: readonly { readonly id: string; readonly turn_id: string }[];
  readonly approvals: readonly string[];
}

async function look(sessions: readonly string[]): Promise<Sight> {
  const [row] = await store.db.sql<{ sight: Sight }>`
    SELECT jsonb_build_object(
      'tasks', (SELECT coalesce(jsonb_agg(id ORDER BY id), '[]') FROM task
                 WHERE session_id = ANY(${`{${sessions.join(',')}}`}::uuid[]) AND ended_at IS NULL),
      'turns', (SELECT coalesce(jsonb_agg(jsonb_build_object('turnId', id, 'attemptId', coalesce(attempt_id, id), 'wake', wake) ORDER BY id), '[]')
                  FROM turn WHERE ended_at IS NULL),
      'calls', (SELECT coalesce(jsonb_agg(jsonb_build_object('id', id, 'turn_id', turn_id) ORDER BY id), '[]') FROM tool_call WHERE ended_at IS NULL),
      'approvals', (SELECT coalesce(jsonb_agg(id ORDER BY id), '[]') FROM approval WHERE status = 'open')) AS sight`;
  if (row === undefined) throw new Error('nothing to see');
  return row.sight;
}

test(`${ROUNDS} rounds of ${AT_ONCE} random transitions at once leave each task its one witness, and no deadlock`, async () => {
  const random = seeded(SEED);
  const pick = <T>(from: readonly T[]): T | undefined => from[Math.floor(random() * from.length)];
  const sessions = [await submit(store), await submit(store), await submit(store)].map(
    ({ sessionId }) => sessionId,
  );
  const workerId = await addWorker(store.db);
  const counts = new Map<string, number>();
  const { teamId, userId } = store;
  // Without patience nothing is repeated: a deadlock is an error that fails the test.
  const db = openDatabase({ url: store.url, log: silentLog, patienceMs: 0 });

  function transition(sight: Sight): Promise<unknown> {
    const turn = pick(sight.turns) ?? { turnId: newId(), attemptId: newId(), wake: 1 };
    const taskId = pick(sight.tasks) ?? newId();
    const nextTurnId = newId();
    const results = sight.calls
      .filter((call) => call.turn_id === turn.turnId && random() < 0.8)
      .map(({ id }) => ({ id, status: 'succeeded' as const, parts: [] }));
    const start = sight.calls.filter((call) => call.turn_id === turn.turnId).map(({ id }) => id);
    const calls = [callOf('requested', { ordinal: 0 }), callOf('awaiting_approval', { ordinal: 1 })];
    const failure = { code: 'overloaded', message: 'Busy.' };
    const end =
      random() < 0.5 ? ({ kind: 'continue' } as const) : ({ kind: 'finish', status: 'cancelled' } as const);
    const all: readonly (() => Promise<unknown>)[] = [
      () => claimTurn(db, { ...claimOf(turn.turnId, workerId, 10), nextTurnId }),
      () => claimTurn(db, { ...claimOf(turn.turnId, workerId, 10), nextTurnId }),
      () => claimTurn(db, { ...claimOf(turn.turnId, workerId, 10), nextTurnId }),
      () => recordAnswer(db, turn, answerOf(random() < 0.5 ? calls : calls.slice(0, 1))),
      () => recordAnswer(db, turn, answerOf(random() < 0.5 ? calls : [])),
      () => recordResults(db, turn, { results, start }),
      () => settleTurn(db, turn, { results, end, nextTurnId }).catch(refusedToSettle),
      () => settleTurn(db, turn, { results, end, nextTurnId }).catch(refusedToSettle),
      () => parkTurn(db, turn, results),
      () =>
        resolveApproval(db, {
          teamId,
          userId,
          approvalId: pick(sight.approvals) ?? newId(),
          decision: 'allowed',
        }),
      () =>
        resolveApproval(db, {
          teamId,
          userId,
          approvalId: pick(sight.approvals) ?? newId(),
          decision: 'denied',
        }),
      () => retryTurn(db, turn, { delayMs: 0, failure, spent: random() < 0.5, nextTurnId }),
      () => handBackTurn(db, turn, { results, nextTurnId }),
      () => takeOverTurn(db, turn, { backoffMs: [0, 0, 1], nextTurnId, own: true }),
      () => cancelTask(db, { teamId, taskId, nextTurnId }),
      () => createTask(db, submissionOf(store, { sessionId: pick(sessions) ?? newId() })),
      () => postMessage(db, { teamId, taskId, id: newId(), parts: [{ type: 'text', text: 'And?' }] }),
      () => expireTask(db, taskId, nextTurnId),
      () => admitTurns(db, 3),
      () => queuedTurns(db, 0, 3),
      () => rewakeTurn(db, turn),
    ];
    return (pick(all) ?? (() => Promise.resolve()))();
  }

  for (let round = 0; round < ROUNDS; round += 1) {
    if (round % 10 === 0) {
      await db.sql`UPDATE task SET deadline_at = clock_timestamp() WHERE id = ${pick((await look(sessions)).tasks) ?? newId()}`;
    }
    const sight = await look(sessions);
    const outcomes = await Promise.all(Array.from({ length: AT_ONCE }, () => transition(sight)));
    for (const outcome of outcomes) {
      const name = (outcome as { outcome?: string } | null)?.outcome ?? 'other';
      counts.set(name, (counts.get(name) ?? 0) + 1);
    }
    expect(await checkWitnesses(db), `seed ${SEED}, round ${round}`).toEqual([]);
  }
  await db.close();
  const happened = [
    'claimed',
    'recorded',
    'settled',
    'parked',
    'resolved',
    'retrying',
    'handed_back',
    'taken_over',
    'cancelled',
    'requested',
    'ended',
    'posted',
    'created',
    'fenced',
  ];
  expect([...counts.keys()]).toEqual(expect.arrayContaining(happened));
});

/** A random worker may try to settle what still has open calls: the store refuses, and that is right. */
function refusedToSettle(error: unknown): unknown {
  if (/cannot settle/.test(String(error))) return { outcome: 'refused' };
  throw error;
}
