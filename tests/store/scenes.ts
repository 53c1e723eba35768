/**
 * One session tree in each state in which transitions can meet, and every transition that can come then: for tests that
 * drive them against each other, or lose their replies.
 */
import { newId } from '../../src/clock.ts';
import { raiseLimits, reserveMore } from '../../src/store/accounts.ts';
import { compactTurn, overflowTurn } from '../../src/store/compaction.ts';
import type { Database } from '../../src/store/database.ts';
import { spawnChildren } from '../../src/store/delegations.ts';
import { forkSession } from '../../src/store/forks.ts';
import { takeRequest } from '../../src/store/rates.ts';
import { askCompaction, mergeSession, revertSession } from '../../src/store/revisions.ts';
import { archiveSession, deleteSession, renameSession } from '../../src/store/sessions.ts';
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
  handBackTurn,
  parkTurn,
  type Retry,
  recordAnswer,
  recordResults,
  retryTurn,
  settleTurn,
} from '../../src/store/turns.ts';
import { admitTurns, expireApproval, expireTask, rewakeTurn, takeOverTurn } from '../../src/store/workers.ts';
import { CHILD_LIMITS, childOf, delegateCall, delegated } from '../support/delegations.ts';
import {
  addWorker,
  answered,
  answerOf,
  callOf,
  claim,
  claimOf,
  forkOf,
  lose,
  mergeOf,
  parked,
  pruningOf,
  resultOf,
  revertOf,
  running,
  type Store,
  submissionOf,
  submit,
  summaryOf,
} from '../support/store.ts';

/** Runs one transition with ids that were minted before, so that calling it again is a repeat. */
export type Act = (db: Database) => Promise<unknown>;
export type Acts = Readonly<Record<string, Act>>;

export type Scene = (store: Store) => Promise<Acts>;

export const SCENES: Readonly<Record<string, Scene>> = {
  queued: (store) => queued(store, false),
  'queued past its deadline': (store) => queued(store, true),

  'queued, with commands in the background': async (store) => {
    const { wake, owner, task } = await withProcesses(store);
    const [own, other] = [claimOf(wake.turnId, owner), claimOf(wake.turnId, await addWorker(store.db))];
    return {
      claim_turn: (db) => claimTurn(db, own),
      'claim_turn by another worker': (db) => claimTurn(db, other),
      ...fromOutside(store, task),
    };
  },

  'queued, with commands whose worker is gone': async (store) => {
    const { wake, owner, task } = await withProcesses(store);
    await lose(store.db, owner);
    const [one, other] = [
      claimOf(wake.turnId, await addWorker(store.db)),
      claimOf(wake.turnId, await addWorker(store.db)),
    ];
    return {
      claim_turn: (db) => claimTurn(db, one),
      'claim_turn by another worker': (db) => claimTurn(db, other),
      ...fromOutside(store, task),
    };
  },

  running: async (store) => {
    const held = await running(store, { reserve: 50 });
    const asking = answerOf([callOf('awaiting_approval')]);
    const end = { kind: 'finish', status: 'failed', code: 'refused', message: 'No.' } as const;
    const [pruned, summarised, overflowed] = [newId(), newId(), newId()];
    const withAnswer = { answer: answerOf(), results: [], end, nextTurnId: newId() };
    await lose(store.db, held.workerId);
    const bucket = { name: 'env@0', requestsPerMinute: 60, tokensPerMinute: 1_000 };
    const late = { name: 'env@1', requestsPerMinute: 60 };
    await store.db.sql`
      INSERT INTO rate_bucket (name, requests_full_at) VALUES ('env@1', clock_timestamp() + interval '2 min')
      ON CONFLICT (name) DO UPDATE SET requests_full_at = excluded.requests_full_at`;
    const name = 'env@0';
    const note = { taken: 7, healed: [name], cooled: { name, ms: 1_000 }, paused: { name, ms: 1_000 } };
    return {
      take_request: (db) => takeRequest(db, held, bucket),
      'take_request that waits': (db) => takeRequest(db, held, late),
      'record_answer with a note': (db) => recordAnswer(db, held, { ...answerOf(), note }),
      record_answer: (db) => recordAnswer(db, held, asking),
      'record_answer without calls': (db) => recordAnswer(db, held, answerOf()),
      'settle_turn with its answer': (db) => settleTurn(db, held, withAnswer),
      compact_turn: (db) => compactTurn(db, held, { ...pruningOf(), nextTurnId: pruned }),
      'compact_turn with a summary': (db) =>
        compactTurn(db, held, { ...summaryOf(), nextTurnId: summarised }),
      overflow_turn: (db) =>
        overflowTurn(db, held, {
          code: 'context_overflow',
          message: 'Too long.',
          spent: true,
          nextTurnId: overflowed,
        }),
      retry_turn: retryOf(held, true),
      'retry_turn with a note': retryOf(held, false, {
        note: { ...note, healed: [] },
        retries: 0,
        route: ROUTE,
      }),
      reserve_more: reservingOf(held, 60),
      ...endings(held),
      ...fromOutside(store, held),
    };
  },

  answered: async (store) => {
    const [read, act] = [
      callOf('requested', { ordinal: 0, effect: 'read' }),
      callOf('requested', { ordinal: 1 }),
    ];
    const asked = callOf('awaiting_approval', { ordinal: 2 });
    const held = await answered(store, [read, act, asked]);
    const processes = { started: [{ id: newId(), number: 1, command: 'npm run dev' }] };
    await lose(store.db, held.workerId);
    await passExpiry(store, asked.approvalId ?? '');
    return {
      record_results: (db) => recordResults(db, held, { results: [resultOf(read)], start: [act.id] }),
      'record_results with a command in the background': (db) =>
        recordResults(db, held, { results: [resultOf(read, { processes })], start: [act.id] }),
      park_turn: (db) => parkTurn(db, held, [resultOf(read)]),
      ...resolving(store, asked.approvalId ?? ''),
      ...endings(held),
      ...fromOutside(store, held),
    };
  },

  'running, of a task that waits at its limits': async (store) => {
    const held = await running(store, {
      reserve: 50,
      limits: { tokens: 55, seconds: 60, onLimit: 'park' },
    });
    const end = { kind: 'finish', status: 'failed', code: 'limit_seconds', message: 'Late.' } as const;
    const late = { results: [], end, nextTurnId: newId() };
    return {
      'reserve_more within them': reservingOf(held, 55),
      'reserve_more beyond them': reservingOf(held, 56),
      'settle_turn at its deadline': (db) => settleTurn(db, held, late),
      ...fromOutside(store, held),
    };
  },

  'queued, over a limit that its task waits at': async (store) => {
    const task = await submit(store, { limits: { tokens: 5, onLimit: 'park' } });
    const wanted = claimOf(task.turnId, await addWorker(store.db), 50);
    return { claim_turn: (db) => claimTurn(db, wanted), ...fromOutside(store, task) };
  },

  'parked at a limit': async (store) => {
    const task = await submit(store, { limits: { tokens: 5, onLimit: 'park' } });
    const wanted = claimOf(task.turnId, await addWorker(store.db), 50);
    await claimTurn(store.db, wanted);
    return { claim_turn: (db) => claimTurn(db, wanted), ...fromOutside(store, task) };
  },

  'running, with calls that delegate': async (store) => {
    const calls = [delegateCall(0), delegateCall(1)];
    const held = await answered(store, calls, { limits: { ...CHILD_LIMITS, concurrentChildren: 1 } });
    const children = calls.map((call) => childOf(store, call));
    await lose(store.db, held.workerId);
    return {
      spawn_children: (db) => spawnChildren(db, held, children),
      ...endings(held),
      ...ofTree(store, held),
    };
  },

  'running, with open children': async (store) => {
    const held = await delegated(store, { count: 2, limits: { concurrentChildren: 1 } });
    await lose(store.db, held.workerId);
    const [child] = held.children;
    const within = await workOn(store, child);
    return {
      park_turn: (db) => parkTurn(db, held, []),
      ...settlings(within, 'child'),
      ...endings(held),
      ...ofTask(store, child, 'child'),
      ...ofTree(store, held),
    };
  },

  'parked on its children': async (store) => {
    const held = await delegated(store, { count: 2, limits: { concurrentChildren: 1, depth: 2 } });
    await parkTurn(store.db, held, []);
    const [child, other] = held.children;
    const call = delegateCall();
    const within = await workOn(store, child, [call]);
    await lose(store.db, within.workerId);
    const children = [childOf(store, call)];
    return {
      'spawn_children by the child': (db) => spawnChildren(db, within, children),
      'park_turn of the child': (db) => parkTurn(db, within, []),
      ...settlings(within, 'child'),
      ...ofTask(store, child, 'child'),
      ...ofTask(store, other, 'child that waits'),
      ...pausing(store, held),
      ...ofTree(store, held),
      ...ofWhole(store, held),
    };
  },

  'a child that a person is asked in': async (store) => {
    const held = await delegated(store, { count: 2, limits: { concurrentChildren: 1 } });
    await parkTurn(store.db, held, []);
    const [child] = held.children;
    const call = callOf('awaiting_approval', { approvalSeconds: 60 });
    await parkTurn(store.db, await workOn(store, child, [call]), []);
    await passExpiry(store, call.approvalId ?? '');
    return {
      ...resolving(store, call.approvalId ?? ''),
      ...ofTask(store, child, 'child'),
      ...ofTree(store, held),
    };
  },

  parked: (store) => waiting(store, false),
  'parked past its deadline': (store) => waiting(store, true),

  paused: async (store) => {
    const task = await submit(store);
    await pauseTask(store.db, { teamId: store.teamId, taskId: task.taskId });
    const own = claimOf(task.turnId, await addWorker(store.db));
    return {
      claim_turn: (db) => claimTurn(db, own),
      ...pausing(store, task),
      ...fromOutside(store, task),
    };
  },

  idle: async (store) => {
    const held = await running(store);
    const end = { kind: 'finish', status: 'failed', code: 'refused', message: 'No.' } as const;
    await settleTurn(store.db, held, { results: [], end, nextTurnId: newId() });
    return { ...fromOutside(store, held), ...ofWhole(store, held) };
  },

  'idle, as the child that it delegated to': async (store) => {
    const held = await delegated(store);
    const [child] = held.children;
    const end = { kind: 'finish', status: 'failed', code: 'refused', message: 'No.' } as const;
    for (const each of [await workOn(store, child), held])
      await settleTurn(store.db, each, { results: [], end, nextTurnId: newId() });
    const { create_task, revert_session, fork_session } = fromOutside(store, {
      ...{ taskId: child?.taskId ?? '', sessionId: child?.sessionId ?? '' },
    });
    return {
      'create_task for the child': create_task as Act,
      'revert_session of the child': revert_session as Act,
      'fork_session of the child': fork_session as Act,
      ...ofTree(store, held),
      ...ofWhole(store, held),
    };
  },

  ready: async (store) => {
    await admitTurns(store.db, 100);
    const held = await running(store);
    await retryOf(held, false)(store.db);
    await store.db
      .sql`UPDATE turn SET due_at = clock_timestamp() - interval '1 ms' WHERE id = ${held.turnId}`;
    return { admit_turns: (db) => admitTurns(db, 100), ...fromOutside(store, held) };
  },
};

/** CAPYBARA_TEST_EVERY_POINT=1 has all of them meet in every scene. */
const EVERY_POINT = process.env.CAPYBARA_TEST_EVERY_POINT === '1';

const FROM_OUTSIDE = [
  'fork_session',
  'revert_session',
  'merge_session',
  'create_task',
  'post_message',
  'cancel_task',
  'expire_task',
  'raise_limits',
];

/** Where two transitions from outside meet as they do in a scene that is like this to them: with its deadline, or its worker. */
const ALIKE = [
  'queued',
  'queued, with commands whose worker is gone',
  'answered',
  'running, of a task that waits at its limits',
  'queued, over a limit that its task waits at',
  'parked',
  'ready',
];

/** Those that are to meet a transition in a scene as the first of the two; each two in one order, which is the other in the next scene. */
export function othersOf(scene: string, name: string, names: readonly string[]): readonly string[] {
  if (EVERY_POINT) return names;
  const index = names.indexOf(name);
  const isAlike = ALIKE.includes(scene) && FROM_OUTSIDE.includes(name);
  return names.filter((other, place) => {
    if (isAlike && FROM_OUTSIDE.includes(other)) return false;
    return place === index || isEven(scene, index + place) === index < place;
  });
}

function isEven(scene: string, count: number): boolean {
  return (Object.keys(SCENES).indexOf(scene) + count) % 2 === 0;
}

/**
 * A commit lets go of its rows a moment before it lets go of its tree, which who waited for a row may find locked: it is told to
 * come again.
 */
export async function onceTreeIsFree(act: () => Promise<unknown>): Promise<unknown> {
  for (;;) {
    try {
      return await act();
    } catch (error) {
      if (!/^tree \S+ is locked$/.test((error as Error & { cause?: Error }).cause?.message ?? ''))
        throw error;
    }
  }
}

/** Those whose line is to break in a scene in this way; in the next scene it breaks in the other. */
export function brokenOf(scene: string, way: number, names: readonly string[]): readonly string[] {
  if (EVERY_POINT) return names;
  return names.filter(
    (name, index) => !(ALIKE.includes(scene) && FROM_OUTSIDE.includes(name)) && isEven(scene, index + way),
  );
}

/** A worker takes the child's first turn, and has this answer. */
async function workOn(
  store: Store,
  child: { readonly turnId: string } | undefined,
  calls: Parameters<typeof answerOf>[0] = [],
) {
  const turnId = child?.turnId ?? '';
  const held = await claim(store.db, turnId);
  await recordAnswer(store.db, held, answerOf(calls));
  return held;
}

/** How a turn of a child ends, by its holder or a sweeper. */
function settlings(held: Holding, of: string): Acts {
  return Object.fromEntries(
    Object.entries(endings(held)).map(([name, act]) => [`${name} of the ${of}`, act]),
  );
}

function pausing({ teamId }: Store, { taskId }: { readonly taskId: string }): Acts {
  return {
    pause_task: (db) => pauseTask(db, { teamId, taskId }),
    resume_task: (db) => resumeTask(db, { teamId, taskId }),
  };
}

/** Of what comes from outside, what is another thing where something was delegated. */
function ofTree(store: Store, held: { readonly taskId: string; readonly sessionId: string }): Acts {
  const { cancel_task, expire_task, raise_limits } = fromOutside(store, held);
  return { cancel_task, expire_task, raise_limits } as Acts;
}

/** What people do to a session with all below it. */
function ofWhole({ teamId, userId }: Store, { sessionId }: { readonly sessionId: string }): Acts {
  const asked = {
    teamId,
    userId,
    sessionId,
    id: newId(),
    parts: [{ type: 'text', text: 'Sum up.' }],
  } as const;
  return {
    archive_session: (db) => archiveSession(db, { teamId, sessionId, isArchived: true }),
    rename_session: (db) => renameSession(db, { teamId, sessionId, title: 'Another title' }),
    ask_compaction: (db) => askCompaction(db, asked),
    delete_session: (db) => deleteSession(db, { teamId, sessionId }),
  };
}

function ofTask(store: Store, task: { readonly taskId: string } | undefined, of: string): Acts {
  const { teamId } = store;
  const [taskId, nextTurnId, late] = [task?.taskId ?? '', newId(), newId()];
  return {
    [`cancel_task of the ${of}`]: (db) => cancelTask(db, { teamId, taskId, nextTurnId }),
    [`expire_task of the ${of}`]: (db) => expireTask(db, taskId, late),
  };
}

/** A task whose first turn began a command that goes on, and whose second waits for a worker. */
async function withProcesses(store: Store) {
  const call = callOf('started');
  const task = await answered(store, [call]);
  const processes = { started: [{ id: newId(), number: 1, command: 'npm run dev' }] };
  const settled = await settleTurn(store.db, task, {
    ...{ results: [resultOf(call, { processes })], end: { kind: 'continue' }, nextTurnId: newId() },
  });
  if (settled.outcome === 'fenced' || settled.wake === null) throw new Error('there is no next turn');
  return { task, owner: task.workerId, wake: settled.wake };
}

async function queued(store: Store, late: boolean): Promise<Acts> {
  const task = await submit(store);
  if (late) await passDeadline(store, task.taskId);
  const [one, other] = [
    claimOf(task.turnId, await addWorker(store.db)),
    claimOf(task.turnId, await addWorker(store.db)),
  ];
  return {
    claim_turn: (db) => claimTurn(db, one),
    'claim_turn by another worker': (db) => claimTurn(db, other),
    rewake_turn: (db) => rewakeTurn(db, { turnId: task.turnId, wake: 1 }),
    ...fromOutside(store, task),
  };
}

async function waiting(store: Store, late: boolean): Promise<Acts> {
  const task = await parked(store);
  await passExpiry(store, task.approvalId);
  if (late) await passDeadline(store, task.taskId);
  return { ...resolving(store, task.approvalId), ...fromOutside(store, task) };
}

async function passDeadline({ db }: Store, taskId: string): Promise<void> {
  await db.sql`UPDATE task SET deadline_at = clock_timestamp() - interval '1 s' WHERE id = ${taskId}`;
}

async function passExpiry({ db }: Store, approvalId: string): Promise<void> {
  await db.sql`UPDATE approval SET expires_at = clock_timestamp() - interval '1 s' WHERE id = ${approvalId}`;
}

interface Holding {
  readonly turnId: string;
  readonly attemptId: string;
}

const ROUTE = { model: 'b/two', passed: ['a/one'] };

function retryOf(held: Holding, spent: boolean, more: Partial<Retry> = {}): Act {
  const failure = { code: 'overloaded', message: 'Busy.' };
  const retry = { delayMs: 60_000, failure, spent, nextTurnId: newId(), ...more };
  return (db) => retryTurn(db, held, retry);
}

function reservingOf(held: Holding, input: number): Act {
  const need = { input, output: 0, prices: { input: 1, output: 2 }, nextTurnId: newId() };
  return (db) => reserveMore(db, held, need);
}

/** How an attempt ends, by its holder or by a sweeper. */
function endings(held: Holding): Acts {
  const [failed, handed, taken] = [newId(), newId(), newId()];
  const end = { kind: 'finish', status: 'failed', code: 'refused', message: 'No.' } as const;
  return {
    settle_turn: (db) => settleTurn(db, held, { results: [], end, nextTurnId: failed }),
    hand_back_turn: (db) => handBackTurn(db, held, { results: [], spent: true, nextTurnId: handed }),
    take_over_turn: (db) => takeOverTurn(db, held, { backoffMs: [1_000], nextTurnId: taken, own: false }),
  };
}

function resolving({ teamId, userId }: Store, approvalId: string): Acts {
  const ruleId = newId();
  return {
    'resolve_approval (always)': (db) =>
      resolveApproval(db, { teamId, userId, approvalId, decision: 'allowed', ruleId }),
    expire_approval: (db) => expireApproval(db),
    'resolve_approval (allowed)': (db) =>
      resolveApproval(db, { teamId, userId, approvalId, decision: 'allowed' }),
    'resolve_approval (denied)': (db) =>
      resolveApproval(db, { teamId, userId, approvalId, decision: 'denied', message: 'No.' }),
  };
}

/** What people and sweepers do to a session whatever its state. */
function fromOutside(store: Store, { taskId, sessionId }: { taskId: string; sessionId: string }): Acts {
  const submission = submissionOf(store, { sessionId });
  const [cancelled, expired, messageId] = [newId(), newId(), newId()];
  const { teamId, userId } = store;
  const fork = forkOf(store, sessionId);
  const revert = revertOf(store, sessionId);
  const merge = mergeOf(store, sessionId);
  return {
    fork_session: (db) => forkSession(db, fork),
    revert_session: (db) => revertSession(db, revert),
    merge_session: (db) => mergeSession(db, merge),
    create_task: (db) => createTask(db, submission),
    post_message: (db) =>
      postMessage(db, { teamId, userId, taskId, id: messageId, parts: [{ type: 'text', text: 'And?' }] }),
    cancel_task: (db) => cancelTask(db, { teamId, taskId, nextTurnId: cancelled }),
    expire_task: (db) => expireTask(db, taskId, expired),
    raise_limits: (db) => raiseLimits(db, { teamId, taskId, limits: { turns: 80, tokens: null } }),
  };
}
