import { expect, test, vi } from 'vitest';
import { newId } from '../../src/clock.ts';
import { silentLog } from '../../src/log.ts';
import { raiseLimits } from '../../src/store/accounts.ts';
import { type Database, openDatabase } from '../../src/store/database.ts';
import { spawnChildren } from '../../src/store/delegations.ts';
import { DatabaseUnavailable } from '../../src/store/patience.ts';
import {
  cancelTask,
  createTask,
  pauseTask,
  postMessage,
  resolveApproval,
  resumeTask,
} from '../../src/store/tasks.ts';
import {
  claimTurn,
  type Held,
  handBackTurn,
  type NewCall,
  parkTurn,
  recordAnswer,
  recordResults,
  retryTurn,
  settleTurn,
  type TurnEnd,
} from '../../src/store/turns.ts';
import { admitTurns, expireTask, queuedTurns, rewakeTurn, takeOverTurn } from '../../src/store/workers.ts';
import { CHILD_LIMITS, childOf, delegateCall } from '../support/delegations.ts';
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
vi.setConfig({ testTimeout: 240_000 });
const ROUNDS = 200;
/** Rounds go on until every transition has done what it is for: a few, however the transactions fall. */
const MOST_ROUNDS = 2_000;
const AT_ONCE = 8;
/** How many of the transitions the state permits, as far as anybody can see; the others run into a guard. */
const FITTING = 0.7;
const SEED = 20261121;
const LIMITS = { ...CHILD_LIMITS, concurrentChildren: 2, depth: 2 };

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

const random = seeded(SEED);
const pick = <T>(from: readonly T[]): T | undefined => from[Math.floor(random() * from.length)];

/** A turn to act on: it may have changed by the time that somebody does. */
interface Seen extends Held {
  readonly wake: number;
  readonly taskId: string;
  readonly status: 'ready' | 'queued' | 'running' | 'parked' | 'gone';
  readonly isAnswered: boolean;
  readonly isOverdue: boolean;
  readonly isPaused: boolean;
  readonly waits: number;
  /** Those that a worker may close; and those that it may give to a child. */
  readonly calls: readonly string[];
  readonly delegating: readonly string[];
  readonly approvals: readonly string[];
}

function look(db: Database): Promise<Seen[]> {
  return db.sql<Seen & Record<string, unknown>>`
    SELECT u.id AS "turnId", coalesce(u.attempt_id, u.id) AS "attemptId", u.wake, u.task_id AS "taskId", u.status,
           u.answer_position IS NOT NULL AS "isAnswered", coalesce(t.deadline_at < clock_timestamp(), false) AS "isOverdue",
           t.paused_at IS NOT NULL AS "isPaused", u.open_waits AS waits,
           array(SELECT c.id FROM tool_call c LEFT JOIN delegation d ON d.tool_call_id = c.id
                  WHERE c.turn_id = u.id AND c.ended_at IS NULL AND (c.effect <> 'delegate' OR d.status = 'ended') ORDER BY c.id) AS calls,
           array(SELECT id FROM tool_call WHERE turn_id = u.id AND effect = 'delegate' AND status = 'requested' ORDER BY id) AS delegating,
           array(SELECT id FROM approval WHERE turn_id = u.id AND status = 'open' ORDER BY id) AS approvals
      FROM turn u JOIN task t ON t.id = u.task_id WHERE u.ended_at IS NULL ORDER BY u.id`;
}

/** Stands for a turn that nobody knows. */
const gone = (): Seen => ({
  ...{ turnId: newId(), attemptId: newId(), taskId: newId(), wake: 1, status: 'gone' },
  ...{ isAnswered: false, isOverdue: false, isPaused: false, waits: 0 },
  ...{ calls: [], delegating: [], approvals: [] },
});

/** A transition: where it can do what it is for, and the outcome that says that it did. */
interface Move {
  readonly name: string;
  readonly outcome: string;
  readonly fits: (turn: Seen) => boolean;
  readonly act: (turn: Seen) => Promise<unknown>;
}

function movesOf(db: Database, { workerId, sessions }: { workerId: string; sessions: string[] }): Move[] {
  const { teamId, userId } = store;
  const isHeld = ({ status }: Seen) => status === 'running';
  const isKnown = ({ status }: Seen) => status !== 'gone';
  const hasCalls = ({ calls }: Seen) => calls.length > 0;
  const resultsOf = (calls: readonly string[]) =>
    calls
      .filter(() => random() < 0.8)
      .map((id) => ({ id, status: 'succeeded' as const, parts: [{ type: 'text' as const, text: 'Done.' }] }));
  const asked = (): NewCall[] => [
    callOf('requested', { ordinal: 0 }),
    callOf('awaiting_approval', { ordinal: 1 }),
  ];
  const answer = (calls: () => NewCall[]) => ({
    outcome: 'recorded',
    fits: (turn: Seen) => isHeld(turn) && !turn.isAnswered,
    act: (turn: Seen) => recordAnswer(db, turn, answerOf(calls())),
  });
  const resolve = (decision: 'allowed' | 'denied') => ({
    outcome: 'resolved',
    fits: ({ approvals }: Seen) => approvals.length > 0,
    act: ({ approvals }: Seen) =>
      resolveApproval(db, { teamId, userId, approvalId: pick(approvals) ?? newId(), decision }),
  });
  const settle = (end: TurnEnd) => ({
    outcome: 'settled',
    fits: (turn: Seen) =>
      isHeld(turn) &&
      (end.kind === 'finish' ||
        (turn.isAnswered && !hasCalls(turn) && turn.waits + turn.delegating.length === 0)),
    act: (turn: Seen) =>
      settleTurn(db, turn, { results: resultsOf(turn.calls), end, nextTurnId: newId() }).catch(
        refusedToSettle,
      ),
  });
  let raised = 0;
  const cancel = ({ taskId }: Seen) => cancelTask(db, { teamId, taskId, nextTurnId: newId() });
  return [
    {
      name: 'claim',
      outcome: 'claimed',
      fits: ({ status, isOverdue, isPaused }) => status === 'queued' && !isOverdue && !isPaused,
      act: ({ turnId }) => claimTurn(db, claimOf(turnId, workerId, 10)),
    },
    { name: 'answer', ...answer(() => []) },
    { name: 'answer and call', ...answer(() => asked().slice(0, 1)) },
    { name: 'answer and ask', ...answer(asked) },
    { name: 'answer and delegate', ...answer(() => [delegateCall(0), delegateCall(1)]) },
    {
      name: 'delegate',
      outcome: 'spawned',
      fits: (turn) => isHeld(turn) && turn.delegating.length > 0,
      act: (turn) =>
        spawnChildren(
          db,
          turn,
          turn.delegating.map((id) => childOf(store, { id })),
        ),
    },
    {
      name: 'record results',
      outcome: 'recorded',
      fits: (turn) => isHeld(turn) && hasCalls(turn),
      act: (turn) => recordResults(db, turn, { results: resultsOf(turn.calls), start: turn.calls }),
    },
    { name: 'go on', ...settle({ kind: 'continue' }) },
    { name: 'end', ...settle({ kind: 'finish', status: 'cancelled' }) },
    {
      name: 'park',
      outcome: 'parked',
      fits: (turn) => isHeld(turn) && turn.waits > 0,
      act: (turn) => parkTurn(db, turn, resultsOf(turn.calls)),
    },
    { name: 'allow', ...resolve('allowed') },
    { name: 'deny', ...resolve('denied') },
    {
      name: 'retry',
      outcome: 'retrying',
      fits: (turn) => isHeld(turn) && !turn.isAnswered,
      act: (turn) =>
        retryTurn(db, turn, {
          ...{ delayMs: 0, failure: { code: 'overloaded', message: 'Busy.' } },
          ...{ spent: random() < 0.5, nextTurnId: newId() },
        }),
    },
    {
      name: 'hand back',
      outcome: 'handed_back',
      fits: isHeld,
      act: (turn) =>
        handBackTurn(db, turn, { results: resultsOf(turn.calls), spent: true, nextTurnId: newId() }),
    },
    {
      name: 'take over',
      outcome: 'taken_over',
      fits: isHeld,
      act: (turn) => takeOverTurn(db, turn, { backoffMs: [0, 0, 1], nextTurnId: newId(), own: true }),
    },
    { name: 'mark as cancelled', outcome: 'requested', fits: isHeld, act: cancel },
    {
      name: 'cancel',
      outcome: 'cancelled',
      fits: (turn) => isKnown(turn) && !isHeld(turn),
      act: cancel,
    },
    {
      name: 'pause',
      outcome: 'paused',
      fits: (turn) => isKnown(turn) && !turn.isPaused && random() < 0.3,
      act: ({ taskId }) => pauseTask(db, { teamId, taskId }),
    },
    {
      name: 'resume',
      outcome: 'resumed',
      fits: ({ isPaused }) => isPaused,
      act: ({ taskId }) => resumeTask(db, { teamId, taskId }),
    },
    {
      name: 'raise',
      outcome: 'raised',
      fits: isKnown,
      act: ({ taskId }) => {
        raised += 1;
        return raiseLimits(db, { teamId, taskId, limits: { turns: 70 + raised, treeTurns: 1000 + raised } });
      },
    },
    {
      name: 'create',
      outcome: 'created',
      fits: () => true,
      act: () =>
        createTask(db, submissionOf(store, { sessionId: pick(sessions) ?? newId(), limits: LIMITS })),
    },
    {
      name: 'post',
      outcome: 'posted',
      fits: isKnown,
      act: ({ taskId }) =>
        postMessage(db, { teamId, userId, taskId, id: newId(), parts: [{ type: 'text', text: 'And?' }] }),
    },
    {
      name: 'expire',
      outcome: 'ended',
      fits: (turn) => isKnown(turn) && !isHeld(turn) && turn.isOverdue,
      act: ({ taskId }) => expireTask(db, taskId, newId()),
    },
    {
      name: 'admit',
      outcome: 'found',
      fits: ({ status }) => status === 'ready',
      act: () => admitTurns(db, 3),
    },
    {
      name: 'look for jobs',
      outcome: 'found',
      fits: ({ status }) => status === 'queued',
      act: () => queuedTurns(db, 0, 3),
    },
    {
      name: 'wake again',
      outcome: 'found',
      fits: ({ status }) => status === 'queued',
      act: (turn) => rewakeTurn(db, turn),
    },
  ];
}

/** How often each move came to which outcome. */
class Tally {
  readonly #counts = new Map<string, number>();
  readonly #moves: readonly Move[];

  constructor(moves: readonly Move[]) {
    this.#moves = moves;
  }

  async add(move: Move, turn: Seen): Promise<void> {
    const outcome = outcomeOf(await move.act(turn).catch(lostToAnother));
    const key = outcome === 'fenced' ? outcome : `${move.name}: ${outcome}`;
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + 1);
  }

  of({ name, outcome }: Pick<Move, 'name' | 'outcome'>): number {
    return this.#counts.get(`${name}: ${outcome}`) ?? 0;
  }

  /** Moves that never did what they are for; and the fence, which must have been hit. */
  missing(): string[] {
    const idle = this.#moves.filter((move) => this.of(move) === 0).map(({ name }) => name);
    return this.#counts.has('fenced') ? idle : [...idle, 'fenced'];
  }
}

function outcomeOf(result: unknown): string {
  if (typeof result === 'number') return 'found';
  if (Array.isArray(result)) return result.length > 0 ? 'found' : 'nothing';
  return (result as { outcome?: string } | null)?.outcome ?? 'nothing';
}

/** Whoever learns of a tree's children with a row of it in hand does not wait for its lock: the transition is repeated. */
function lostToAnother(error: unknown): unknown {
  const { code } = (error instanceof DatabaseUnavailable ? error.cause : error) as { code?: string };
  if (code === '40001') return { outcome: 'lost to another' };
  throw error;
}

/** A random worker may try to settle what still has open calls: the store refuses, and that is right. */
function refusedToSettle(error: unknown): unknown {
  if (/cannot settle/.test(String(error))) return { outcome: 'refused' };
  throw error;
}

test(`${ROUNDS} rounds of ${AT_ONCE} random transitions at once leave each task its one witness, and no deadlock`, async () => {
  const sessions: string[] = [];
  for (let count = 0; count < 3; count += 1)
    sessions.push((await submit(store, { limits: LIMITS })).sessionId);
  // Without patience nothing is repeated: a deadlock is an error that fails the test.
  const db = openDatabase({ url: store.url, log: silentLog, patienceMs: 0 });
  const moves = movesOf(db, { workerId: await addWorker(store.db), sessions });
  const tally = new Tally(moves);

  const storm = (seen: readonly Seen[]) => {
    const turn = pick(seen) ?? gone();
    const from = random() < FITTING ? moves.filter(({ fits }) => fits(turn)) : moves;
    return tally.add(pick(from) as Move, turn);
  };
  /** Alone, whatever fits does what it is for: the move that did so least often comes next, so that each has its time. */
  const lull = async (seen: readonly Seen[]) => {
    const turns = seen.length > 0 ? seen : [gone()];
    const fitting = turns.flatMap((turn) =>
      moves.filter(({ fits }) => fits(turn)).map((move) => ({ move, turn })),
    );
    const fewest = Math.min(...fitting.map(({ move }) => tally.of(move)));
    const next = pick(fitting.filter(({ move }) => tally.of(move) === fewest));
    if (next !== undefined) await tally.add(next.move, next.turn);
  };

  for (let round = 0; round < ROUNDS || (tally.missing().length > 0 && round < MOST_ROUNDS); round += 1) {
    if (round % 10 === 0)
      await db.sql`UPDATE task SET deadline_at = clock_timestamp() - interval '1 ms' WHERE id = ${(pick(await look(db)) ?? gone()).taskId}`;
    const seen = await look(db);
    await Promise.all(Array.from({ length: AT_ONCE }, () => storm(seen)));
    expect(await checkWitnesses(db), `seed ${SEED}, round ${round}`).toEqual([]);
    await lull(await look(db));
    expect(await checkWitnesses(db), `seed ${SEED}, after round ${round}`).toEqual([]);
  }
  await db.close();
  expect(tally.missing()).toEqual([]);
});
