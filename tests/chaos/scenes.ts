/** Tasks whose worker is stopped at a point, and what must have come of them whoever finished them. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { SUMMARY_REQUEST } from '../../src/core/compaction.ts';
import { DEFAULT_CONTEXT } from '../../src/core/profile.ts';
import { MODEL_MAX_CHARS } from '../../src/core/truncate.ts';
import { UNKNOWN_OUTCOME } from '../../src/core/turn.ts';
import { SUMMARY_FOLLOWS } from '../../src/core/view.ts';
import type { Allowances } from '../../src/model/allowance.ts';
import { DEFAULT_BACKGROUND, lostProcess } from '../../src/sandbox/background-process.ts';
import { describeCutOff } from '../../src/tools/background-news.ts';
import { bareOf, commit, git } from '../support/git-server.ts';
import {
  call,
  error,
  hang,
  type ScriptedRequest,
  say,
  sequence,
  usage,
} from '../support/scripted-model/scripted-model.ts';
import type { Wanted } from '../support/worker.ts';
import type { Outcome, Played } from './play.ts';

export interface Scene {
  readonly name: string;
  readonly wanted: Wanted;
  /** A worker that is paused leaves something else than one that is killed: `integration/worker-files` says what. */
  readonly onlyKilled?: true;
  /** The points at which its worker is stopped; without them, every one that it reaches. */
  readonly points?: readonly string[];
  /** Of them: where a worker is killed only with CAPYBARA_TEST_EVERY_POINT=1. Another point shows the same. */
  readonly seldomKilled?: readonly string[];
  /** A worker is killed at each of its points, though other scenes show the same steps: what they are done to is another thing. */
  readonly alwaysKilled?: true;
  /** Of the worker that is stopped. */
  readonly sweep?: { readonly everyMs: number; readonly unclaimedMs: number };
  /** Of that worker. Without it, an answer with calls is always committed before they have ended. */
  readonly readGraceMs?: number;
  /** Of that worker: turns at a time. One at a time they come in one order. */
  readonly concurrency?: number;
  /** Of that worker: what its providers' keys allow. */
  readonly allowances?: Allowances;
  /** What happened before that worker starts, the task being there. */
  readonly before?: (played: Played) => Promise<void>;
  /** What others do while it runs, and after it. */
  readonly meanwhile?: (played: Played) => Promise<void>;
  /** Events that depend on who is faster. */
  readonly ignored?: readonly string[];
  /** What must come of it where the worker was stopped there; without this, what comes of it undisturbed. */
  readonly expected?: (undisturbed: Outcome, at: At) => Outcome;
}

/** Where in the undisturbed worker's trace a worker was stopped. */
export class At {
  readonly #trace: readonly string[];
  readonly #stopped: number;

  constructor(point: string, trace: readonly string[]) {
    this.#trace = trace;
    this.#stopped = this.#indexOf(point);
  }

  /** It was reached, the one where the worker was stopped included. */
  has(point: string): boolean {
    return this.#indexOf(point) <= this.#stopped;
  }

  /** Both ends included. */
  within(first: string, last: string): boolean {
    return this.has(first) && this.#stopped <= this.#indexOf(last);
  }

  /** The undisturbed worker does. */
  reaches(point: string): boolean {
    return this.#trace.includes(point);
  }

  #indexOf(point: string): number {
    const index = this.#trace.indexOf(point);
    if (index === -1) throw new Error(`no worker reaches '${point}', only: ${this.#trace.join(', ')}`);
    return index;
  }
}

const UNKNOWN = `${UNKNOWN_OUTCOME}\n\nThe workspace's files are as they were before the call.`;
const LEFT = `${UNKNOWN_OUTCOME}\n\nFiles have changed since before the call, by the call or by the user.`;
const LINE = 'a line that is read\n';
/** More than the model is shown, so that the whole of it is stored; not so much that tokens are counted, which takes long. */
const LONG = LINE.repeat(MODEL_MAX_CHARS / LINE.length + 1);
const SERVE = 'exec sleep 600';
const SERVING_LOST = describeCutOff([lostProcess({ id: '', number: 1, command: SERVE }, DEFAULT_BACKGROUND)]);
const COUNTED = usage({ input: 10, output: 5 });
const around = (name: string) => [`before ${name}`, `after ${name}`];
const answersAtSecondTry: Wanted = {
  script: ({ attempt }) => (attempt === 1 ? [say('Half'), hang()] : [say('Whole.'), COUNTED]),
};
const asks: Wanted = {
  mode: 'safe',
  permissions: { rules: [{ decision: 'ask', tool: 'note' }] },
  limits: { seconds: 3_600 },
  script: sequence([
    [call('note', { text: 'asked' }, 'note_1'), COUNTED],
    [say('Done.'), COUNTED],
  ]),
};

/** Reads, then two calls that happen at most once, each of which a commit starts, then the end. */
const WHOLE_TASK: Scene = {
  name: 'a task of three turns',
  // Each turn is claimed, woken and asked for as the first is; of two reads begun, nothing is durable before both have ended.
  seldomKilled: [
    'before runTools#2',
    ...['after claim_turn', 'during callModel', 'after callModel'].map((point) => `${point}#2`),
    ...['after claim_turn#3', 'during callModel#3', 'after wake#2'],
  ],
  wanted: {
    tools: ['look', 'tell'],
    accounts: { answer: null, prices: { input: 3, output: 15 } },
    script: sequence([
      [call('look', { text: 'short' }, 'look_1'), call('look', { text: LONG }, 'look_2'), COUNTED],
      [call('tell', { text: 'first' }, 'tell_1'), call('tell', { text: 'second' }, 'tell_2'), COUNTED],
      [say('Done.'), COUNTED],
    ]),
  },
  expected: (undisturbed, at) => tellingsAt(at)(requestsAt(at)(undisturbed)),
};

/** Reads whose answer is committed with them. */
const READS: Scene = {
  name: 'reads that end at once',
  readGraceMs: 60_000,
  points: ['after callModel#1', 'after runTools#2', ...around('settle_turn').map(first)],
  seldomKilled: ['after callModel#1'],
  wanted: {
    tools: ['look'],
    script: sequence([
      [call('look', { text: 'short' }, 'look_1'), call('look', { text: LONG }, 'look_2'), COUNTED],
      [say('Done.'), COUNTED],
    ]),
  },
  expected: (undisturbed, at) => requestsAt(at)(undisturbed),
};

/** An image, which is stored before the commit that names it, and shown by whoever asks next. */
const IMAGE: Scene = {
  name: 'an image that is shown',
  points: [...around('putOutput').map(first), ...around('settle_turn').map(first), 'during callModel#2'],
  seldomKilled: ['during callModel#2'],
  wanted: {
    tools: ['draw'],
    script: ({ answers, images }) =>
      answers === 0 ? [call('draw', {}, 'draw_1'), COUNTED] : [say(`Saw ${images.length}.`), COUNTED],
  },
  expected: (undisturbed, at) => requestsAt(at)(undisturbed),
};

/** The answer that was in flight is asked for again; one that was committed never is. */
function requestsAt(at: At) {
  return (outcome: Outcome): Outcome => ({
    ...outcome,
    requests: outcome.requests.map((count, index) => {
      const turn = index + 1;
      const commit = at.reaches(`before record_answer#${turn}`) ? 'record_answer' : 'settle_turn';
      return count + (at.within(`during callModel#${turn}`, `before ${commit}#${turn}`) ? 1 : 0);
    }),
  });
}

/** A call between the commit that started it and the one with its result: unknown, and not run again. */
function tellingsAt(at: At) {
  const first = at.within('after record_answer#2', 'before record_results#1');
  const second = at.within('after record_results#1', 'before settle_turn#2');
  const lost = first ? 'tell_1' : second ? 'tell_2' : undefined;
  const unknown = <T extends { readonly callId: string | null }>(row: T, more: Partial<T>) =>
    lost !== undefined && row.callId === lost ? { ...row, ...more } : row;
  return (outcome: Outcome): Outcome => ({
    ...outcome,
    calls: outcome.calls.map((row) => unknown(row, { status: 'unknown' })),
    entries: outcome.entries.map((row) =>
      row.kind === 'tool_result'
        ? unknown(row, { status: 'unknown', parts: [{ type: 'text', text: UNKNOWN }] })
        : row,
    ),
    lines: outcome.lines.filter((line) => {
      if (line === 'first') return !first || at.has('after runTools#3');
      return !second || at.has('after runTools#4');
    }),
  });
}

/** Whatever happens to its worker, the files are those of one run; how often its calls were begun is another matter. */
const CHANGES: Scene = {
  name: 'changes of files that are put back and run again',
  points: [
    'after record_answer#1',
    ...around('runTools').flatMap((point) => [`${point}#1`, `${point}#2`, `${point}#3`]),
    ...around('settle_turn').flatMap((point) => [`${point}#1`, `${point}#2`]),
  ],
  seldomKilled: ['after settle_turn#2'],
  wanted: {
    tools: ['note'],
    script: sequence([
      [call('note', { text: 'first' }, 'note_1'), call('note', { text: 'second' }, 'note_2'), COUNTED],
      [call('note', { text: 'third' }, 'note_3'), COUNTED],
      [say('Done.'), COUNTED],
    ]),
  },
  expected: (undisturbed, at) => requestsAt(at)(undisturbed),
};

/** In the user's own directory nothing is put back: a call that left no trace runs again, another is unknown. */
const LOCAL_CHANGES: Scene = {
  name: 'changes of the user’s own files',
  onlyKilled: true,
  points: [
    ...around('record_answer'),
    ...around('record_files'),
    ...around('runTools'),
    ...around('settle_turn'),
  ].map(first),
  wanted: {
    local: true,
    script: sequence([
      [call('note', { text: 'first' }, 'note_1'), COUNTED],
      [say('Done.'), COUNTED],
    ]),
  },
  expected: (undisturbed, at) => localAt(at)(requestsAt(at)(undisturbed)),
};

/** Before anything was recorded of the files nobody knows whether they changed; after it, that they did. */
function localAt(at: At) {
  const early = at.within('after record_answer#1', 'before record_files#1');
  const late = at.within('after runTools#1', 'before settle_turn#1');
  const parts = [{ type: 'text' as const, text: early ? UNKNOWN_OUTCOME : LEFT }];
  return (outcome: Outcome): Outcome => {
    if (!early && !late) return outcome;
    const snapshots = outcome.events.flatMap((type, index) =>
      type === 'workspace.snapshotted' ? [index] : [],
    );
    const missing = early ? snapshots : snapshots.slice(-1);
    return {
      ...outcome,
      calls: outcome.calls.map((row) => ({ ...row, status: 'unknown' })),
      entries: outcome.entries.map((row) =>
        row.kind === 'tool_result' ? { ...row, status: 'unknown', parts } : row,
      ),
      events: outcome.events.filter((_, index) => !missing.includes(index)),
      notes: early ? [] : outcome.notes,
    };
  };
}

/** The commit that says what they are is what the model is asked after; before it they are cloned again. */
const CLONED: Scene = {
  name: 'files that are cloned before the model is asked',
  points: ['after claim_turn', ...around('record_files'), 'before callModel', ...around('settle_turn')].map(
    first,
  ),
  wanted: {
    git: (dir) => ({ url: pathToFileURL(join(dir, 'remote', 'app.git')).href }),
    script: sequence([
      [call('note', { text: 'first' }, 'note_1'), COUNTED],
      [say('Done.'), COUNTED],
    ]),
  },
  before: async ({ world }) => {
    const root = join(world.dir, 'remote');
    mkdirSync(join(root, 'work'), { recursive: true });
    git(join(root, 'work'), 'init', '-q', '-b', 'main');
    commit(join(root, 'work'), { readme: 'one' }, 'one');
    bareOf(root, join(root, 'work'), 'app.git');
  },
  expected: (undisturbed, at) => requestsAt(at)(undisturbed),
};

const PARKED: Scene = {
  name: 'a call that a person must allow',
  wanted: asks,
  points: around('park_turn').map(first),
  meanwhile: async ({ world, task }) => {
    await world.taskIs(task, { status: 'waiting' });
    for (const approval of await world.approvals(task)) await world.answer(approval, 'allowed');
  },
};

const DRAINED: Scene = {
  name: 'a worker that is told to stop during an answer',
  wanted: answersAtSecondTry,
  points: [...around('hand_back_turn'), ...around('wake')].map(first),
  meanwhile: async ({ world, task, child }) => {
    await world.model.waitForRequest(({ sessionId }) => sessionId === task.sessionId);
    child.kill('SIGTERM');
  },
};

const TAKEN_OVER: Scene = {
  name: 'a turn whose worker was killed before',
  wanted: answersAtSecondTry,
  points: [...around('end_worker'), ...around('take_over_turn'), ...around('wake')].map(first),
  seldomKilled: ['before end_worker#1'],
  before: async ({ world, task }) => {
    const lost = await world.startChild();
    await world.model.waitForRequest(({ sessionId }) => sessionId === task.sessionId);
    lost.kill('SIGKILL');
    await lost.ended;
  },
};

const SUSPECTED: Scene = {
  name: 'a turn whose worker stands still and has lost its connections',
  wanted: answersAtSecondTry,
  points: around('suspect_worker').map(first),
  seldomKilled: ['before suspect_worker#1'],
  before: async ({ world, task }) => {
    const lost = await world.startChild();
    await world.model.waitForRequest(({ sessionId }) => sessionId === task.sessionId);
    lost.kill('SIGSTOP');
    await world.db.sql`
      SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
       WHERE datname = current_database() AND application_name = 'capybara lease'`;
  },
};

const ROOM = { ...DEFAULT_CONTEXT, maxTokens: 3_000 };
/** Half of the room, in what is asked for and what comes back. */
const MUCH = LINE.repeat(220);
const isForSummary = ({ messages }: ScriptedRequest) => {
  const last = messages.at(-1);
  return last?.role === 'user' && last.text.includes(SUMMARY_REQUEST.slice(0, 40));
};

/** A summary is paid for once, but for the one that was in flight. */
const COMPACTED: Scene = {
  name: 'a log that has become too long',
  points: [
    'during callModel#3',
    'after callModel#3',
    ...around('compact_turn').map(first),
    'before callModel#4',
  ],
  seldomKilled: ['during callModel#3'],
  wanted: {
    ...{ context: ROOM, tools: ['look'] },
    script: (request) => {
      if (isForSummary(request)) return [say('# Goal\nGo.'), COUNTED];
      const isTold = request.messages.some(
        (message) => 'text' in message && message.text.includes(SUMMARY_FOLLOWS),
      );
      if (isTold) return [say('Done.'), COUNTED];
      return [call('look', { text: MUCH }, `look_${request.answers}`), COUNTED];
    },
  },
  expected: (undisturbed, at) => ({
    ...undisturbed,
    requests: undisturbed.requests.map(
      (count, index) =>
        count + (index === 2 && at.within('during callModel#3', 'before compact_turn#1') ? 1 : 0),
    ),
  }),
};

/** The turn whose request was too long ends once, and one that makes the log shorter follows. */
const OVERFLOWED: Scene = {
  name: 'a request that is too long for its model',
  points: [...around('overflow_turn').map(first), ...around('compact_turn').map(first)],
  seldomKilled: ['after compact_turn#1'],
  wanted: {
    tools: ['look'],
    script: (request) => {
      if (isForSummary(request)) return [say('# Goal\nGo.'), COUNTED];
      if (JSON.stringify(request.messages).includes(SUMMARY_FOLLOWS)) return [say('Done.'), COUNTED];
      if (request.answers === 2) return error(400, { message: 'prompt is too long' });
      return [call('look', { text: MUCH }, `look_${request.answers}`), COUNTED];
    },
  },
  expected: (undisturbed, at) => ({
    ...undisturbed,
    requests: undisturbed.requests.map((count, index) => {
      const isFailed = index === 2 && !at.has('after overflow_turn#1');
      const isSummary = index === 3 && at.has('before compact_turn#1') && !at.has('after compact_turn#1');
      return count + (isFailed || isSummary ? 1 : 0);
    }),
  }),
};

const UNWOKEN: Scene = {
  name: 'a task whose job was lost',
  wanted: { unwoken: true, script: sequence([[say('Done.'), COUNTED]]) },
  sweep: { everyMs: 50, unclaimedMs: 200 },
  points: ['after check_queued', ...around('rewake_turn'), ...around('wake')].map(first),
};

const EXPIRED: Scene = {
  name: 'a task that reaches its deadline while it waits',
  wanted: asks,
  points: around('expire_task').map(first),
  meanwhile: async ({ world, task }) => {
    await world.taskIs(task, { status: 'waiting' });
    await world.db
      .sql`UPDATE task SET deadline_at = clock_timestamp() - interval '1 ms' WHERE id = ${task.taskId}`;
  },
};

const UNANSWERED: Scene = {
  name: 'a question that nobody answers in time',
  wanted: asks,
  points: ['after expire_approval'].map(first),
  meanwhile: async ({ world, task }) => {
    await world.taskIs(task, { status: 'waiting' });
    await world.db
      .sql`UPDATE approval SET expires_at = clock_timestamp() - interval '1 ms' WHERE task_id = ${task.taskId}`;
  },
};

const RETRIED: Scene = {
  name: 'a request that fails once',
  wanted: { script: ({ attempt }) => (attempt === 1 ? error(500) : [say('Whole.'), COUNTED]) },
  points: [...around('retry_turn'), 'after admit_turns', ...around('wake')].map(first),
  // A failure that no commit tells of is a lost attempt like any other.
  expected: (undisturbed, at) =>
    at.has('after retry_turn#1')
      ? undisturbed
      : { ...undisturbed, events: undisturbed.events.filter((type) => !RETRY_EVENTS.includes(type)) },
};

/** Its provider's key has no room for the request yet: it takes a place in line, and then its share. A peer knows no limits. */
const LIMITED: Scene = {
  name: 'a request that waits for its provider’s key',
  wanted: { script: () => [say('Whole.'), COUNTED] },
  allowances: { env: { key: '', countsCached: true, requestsPerMinute: 600 } },
  points: [...around('take_request').flatMap((point) => [`${point}#1`, `${point}#2`]), 'after retry_turn#1'],
  before: async ({ world }) => {
    await world.db.sql`
      INSERT INTO rate_bucket (name, requests_full_at) VALUES ('env', clock_timestamp() + interval '1 h')`;
  },
  meanwhile: async ({ world, task }) => {
    await world.until(
      'it waits, or has gone on',
      async () => !['queued', 'running'].includes((await world.task(task.taskId)).status),
    );
    await world.db.sql`UPDATE rate_bucket SET requests_full_at = clock_timestamp()`;
    await world.db.sql`UPDATE turn SET due_at = clock_timestamp() WHERE status = 'ready'`;
  },
  expected: (undisturbed, at) =>
    at.has('after retry_turn#1')
      ? undisturbed
      : { ...undisturbed, events: undisturbed.events.filter((type) => !RETRY_EVENTS.includes(type)) },
};

const RETRY_EVENTS = ['turn.retried', 'task.waiting', 'task.resumed'];

/** Under a limit of tokens the first request is reserved whole before it is sent, which its claim could not foresee. */
const RESERVED: Scene = {
  name: 'a request that needs more than its claim foresaw',
  wanted: { limits: { tokens: 1_000_000 }, script: sequence([[say('Done.'), COUNTED]]) },
  points: around('reserve_more').map(first),
};

/** A command goes on from turn to turn; without its worker it is lost, and the model is told before it answers next. */
const SERVING: Scene = {
  name: 'a command in the background',
  points: ['before settle_turn#1', 'after settle_turn#1', 'after settle_turn#2'],
  wanted: {
    script: sequence([
      [call('bash', { command: SERVE, background: true }, 'serve_1'), COUNTED],
      [call('look', { text: 'short' }, 'look_1'), COUNTED],
      [say('Done.'), COUNTED],
    ]),
  },
  expected: (undisturbed, at) => servingAt(at)(undisturbed),
};

/** Lost before its result was committed, nobody knows of it; after that, its loss is told. */
function servingAt(at: At) {
  const told = !at.has('after settle_turn#1') ? 0 : at.has('after settle_turn#2') ? 3 : 2;
  const parts = [{ type: 'text' as const, text: told === 0 ? UNKNOWN : SERVING_LOST }];
  return (outcome: Outcome): Outcome => {
    if (told === 0) {
      const lost = (row: { readonly callId: string | null }) => row.callId === 'serve_1';
      return {
        ...outcome,
        calls: outcome.calls.map((row) => (lost(row) ? { ...row, status: 'unknown' } : row)),
        entries: outcome.entries.map((row) =>
          row.kind === 'tool_result' && lost(row) ? { ...row, status: 'unknown', parts } : row,
        ),
      };
    }
    const index = outcome.entries.findIndex(({ turn }) => turn === told);
    const notice = { kind: 'notice', turn: told, parts, callId: null, status: null, stopReason: null };
    const entries = outcome.entries.toSpliced(index, 0, { ...notice, position: index + 1 });
    return {
      ...outcome,
      entries: entries.map((entry, place) => ({ ...entry, position: place + 1 })),
      task: { ...outcome.task, result_position: entries.length },
    };
  };
}

const helper = (prompt: string, id: string) => call('delegate_task', { prompt, agent: 'helper' }, id);

/** A child changes a file and another looks: both are done once, reported and merged, whoever dies where. */
const DELEGATED: Scene = {
  name: 'two tasks that are delegated',
  alwaysKilled: true,
  concurrency: 1,
  // Where its worker is lost, children may have ended before it would have parked.
  ignored: ['turn.parked', 'task.waiting', 'task.resumed'],
  points: [
    ...around('spawn_children').map(first),
    'after wake#1',
    ...around('park_turn').map(first),
    'during callModel#2',
    ...around('settle_turn').flatMap((point) => [`${point}#4`, `${point}#5`]),
    'after wake#4',
    'during callModel#6',
  ],
  seldomKilled: ['during callModel#2'],
  wanted: {
    limits: { children: 2, concurrentChildren: 2, depth: 1 },
    script: sequence([
      [helper('Change it.', 'child_1'), helper('Look at it.', 'child_2'), COUNTED],
      [say('Done.'), COUNTED],
    ]),
    delegates: {
      helper: {
        script: (request) => {
          if (request.answers > 0) return [say('Done below.'), COUNTED];
          const changes = JSON.stringify(request.messages).includes('Change it.');
          return changes
            ? [call('note', { text: 'below' }, 'note_1'), COUNTED]
            : [call('look', { text: 'short' }, 'look_1'), COUNTED];
        },
      },
    },
  },
  expected: (undisturbed, at) => ({
    ...undisturbed,
    requests: undisturbed.requests.map((count, index) => {
      const isLost = index === 1 && at.within('during callModel#6', 'before settle_turn#6');
      return count + (isLost ? 1 : 0);
    }),
  }),
};

/** A cancel reaches what was delegated, also where its worker dies as it obeys. */
const CANCELLED: Scene = {
  name: 'a delegated task that is cancelled with its parent',
  alwaysKilled: true,
  concurrency: 1,
  points: around('settle_turn').map(first),
  wanted: {
    limits: { children: 1, concurrentChildren: 1, depth: 1 },
    script: sequence([[helper('Go on for ever.', 'child_1'), COUNTED]]),
    delegates: { helper: { script: () => [call('endless_change', {}, 'endless_1'), COUNTED] } },
  },
  meanwhile: async ({ world, task, child }) => {
    await child.hears('started endless_change');
    await world.requestCancel(task);
    await world.until('all have ended', async () =>
      (await world.children(task)).every(({ status }) => status === 'cancelled'),
    );
  },
};

/** A pause reaches what was delegated, also where its worker dies as it obeys: nothing goes on before it may. */
const PAUSED: Scene = {
  name: 'a delegated task that is paused with its parent, and resumed',
  alwaysKilled: true,
  concurrency: 1,
  points: [
    'during callModel#2',
    ...around('hand_back_turn').map(first),
    'after wake#2',
    ...around('claim_turn').flatMap((point) => [`${point}#3`, `${point}#4`]),
  ],
  wanted: {
    limits: { children: 1, concurrentChildren: 1, depth: 1 },
    script: sequence([
      [helper('Go on.', 'child_1'), COUNTED],
      [say('Done.'), COUNTED],
    ]),
    delegates: {
      helper: { script: ({ attempt }) => (attempt === 1 ? [say('Half'), hang()] : [say('Whole.'), COUNTED]) },
    },
  },
  meanwhile: async ({ world, task }) => {
    const [below] = await world.until('there is a child', async () => {
      const children = await world.children(task);
      return children.length > 0 && children;
    });
    await world.model.waitForRequest(({ sessionId }) => sessionId === below?.sessionId);
    await world.pause(task);
    await world.until('it stands still', async () => (await world.pausedBelow(task)) === 1);
    await world.resume(task);
  },
};

function first(point: string): string {
  return `${point}#1`;
}

export const SCENES: readonly Scene[] = [
  WHOLE_TASK,
  READS,
  IMAGE,
  CHANGES,
  LOCAL_CHANGES,
  CLONED,
  PARKED,
  DRAINED,
  TAKEN_OVER,
  SUSPECTED,
  UNWOKEN,
  EXPIRED,
  UNANSWERED,
  RETRIED,
  LIMITED,
  RESERVED,
  SERVING,
  COMPACTED,
  OVERFLOWED,
  DELEGATED,
  CANCELLED,
  PAUSED,
];
