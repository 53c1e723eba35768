/**
 * A Capybara without its API for tests of the worker: real Postgres, queue on either backend, bus, scripted model, and
 * workers in this process or in children. After each test every invariant of the store holds, or the test fails.
 */
import { mkdtempSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, expect } from 'vitest';
import type { Bus } from '../../src/bus/bus.ts';
import { createPostgresBus } from '../../src/bus/postgres.ts';
import { newId } from '../../src/clock.ts';
import type { Profile } from '../../src/core/profile.ts';
import { createLog, type Log, silentLog } from '../../src/log.ts';
import { createModels } from '../../src/model/providers.ts';
import { createPostgresQueueBackend } from '../../src/queue/postgres.ts';
import type { QueueBackend, TurnQueue } from '../../src/queue/queue.ts';
import { createRedisQueueBackend } from '../../src/queue/redis.ts';
import { createUnconfinedSandbox } from '../../src/sandbox/unconfined.ts';
import { type Database, openDatabase } from '../../src/store/database.ts';
import { readEntries } from '../../src/store/session-log.ts';
import {
  cancelTask,
  createTask,
  pauseTask,
  resolveApproval,
  resumeTask,
  type Submission,
} from '../../src/store/tasks.ts';
import type { Also, Wake } from '../../src/store/turns.ts';
import { createRegistry } from '../../src/tools/registry.ts';
import { type RunningWorker, startWorker, type WorkerOptions } from '../../src/worker/worker.ts';
import { createTestDatabase } from './database.ts';
import { whenNeeded } from './lazy-sandbox.ts';
import type { QueueKind } from './queue-kinds.ts';
import { type Script, type ScriptedModel, say, startScriptedModel } from './scripted-model/scripted-model.ts';
import { addTeam, checkWitnesses, PROFILE, submissionOf } from './store.ts';
import type { ChildSettings } from './worker-child.ts';
import { type ChildWorker, Lines, PATIENCE_MS, spawnWorker } from './worker-process.ts';
import type { Child, Delegate, Task, TaskRow, Wanted } from './worker-task.ts';
import { workerTools } from './worker-tools.ts';

const POLL = { firstMs: 5, growth: 1.25, longestMs: 60 };

/** Waits short enough for a test; a due time stays a row. */
const QUICK_RETRY = { tries: 3, firstMs: 50, longestMs: 200 };
/** The servers of tests are on this machine. */
const OWN_REPOSITORIES = { policy: { own: true, online: true, allowed: [] }, waitMs: 500 };
/** A lease that runs out within a test. */
export const SHORT_LEASE = { leaseMs: 1_500, renewMs: 200, marginMs: 300 };

export { type QueueKind, queueKinds } from './queue-kinds.ts';
export type { Task, TaskRow, Wanted } from './worker-task.ts';

export type World = Awaited<ReturnType<typeof openWorld>>['world'];

/** A world for a suite, opened before its tests and closed after them. */
export function useWorld(kind: QueueKind): World {
  let opened: Awaited<ReturnType<typeof openWorld>> | undefined;
  beforeAll(async () => {
    opened = await openWorld(kind);
  });
  afterEach(() => opened?.rest());
  afterAll(() => opened?.close());
  return new Proxy({} as World, {
    get: (_, name) => opened?.world[name as keyof World],
  });
}

/** A world of a test's own. The test calls `rest`, then `close`, also where it has failed. */
export async function openWorld({ redis }: QueueKind) {
  const database = await createTestDatabase();
  const { url } = database;
  const db = openDatabase({ url, log: silentLog });
  const queueBackend = (log: Log): QueueBackend =>
    redis === undefined
      ? createPostgresQueueBackend({ url, log })
      : createRedisQueueBackend({ url: redis.url, log });
  const backend = queueBackend(silentLog);
  const dir = realpathSync(mkdtempSync(join(tmpdir(), 'capybara-worker-')));
  const scripts = new Map<string, Script>();
  const model = await startScriptedModel({
    script: (request) =>
      (scripts.get(request.sessionId ?? '') ?? scripts.get(request.system))?.(request) ?? say('Done.'),
  });
  const world = new TestWorld({
    ...{ url, db, backend, dir, scripts, model, redisUrl: redis?.url },
    ...(await addTeam(db)),
    bus: createPostgresBus({ url, log: silentLog }),
  });
  return {
    world,
    async rest() {
      await world.stopWorkers();
      expect(await checkWitnesses(db)).toEqual([]);
      // What one test has taught of providers binds no other.
      await db.sql`TRUNCATE rate_bucket, rate_line, model_health`;
      expect(model.refusals).toEqual([]);
    },
    async close() {
      await world.queue.close();
      await backend.close();
      await world.bus.close();
      await db.close();
      await model.close();
      await database.drop();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

interface Parts {
  readonly url: string;
  readonly db: Database;
  readonly backend: QueueBackend;
  readonly dir: string;
  readonly scripts: Map<string, Script>;
  readonly model: ScriptedModel;
  readonly redisUrl: string | undefined;
  readonly teamId: string;
  readonly userId: string;
  readonly bus: Bus;
}

/** An agent that is delegated to is known by its prompt: its session is not known before. */
function delegateOf(
  agent: string,
  { tools = workerTools(() => {}).map((tool) => tool.name), script, ...given }: Delegate,
  { mode, scripts }: { readonly mode: Profile['mode']; readonly scripts: Map<string, Script> },
): { readonly hash: string; readonly body: Profile } {
  const prompt = `You are ${agent}, ${newId()}.`;
  if (script !== undefined) scripts.set(prompt, script);
  const hash = newId().replaceAll('-', '').padEnd(64, '0');
  return { hash, body: { agent, prompt, model: 'env/scripted', mode, tools, ...given } };
}

class TestWorld {
  readonly url: string;
  readonly db: Database;
  readonly backend: QueueBackend;
  readonly queue: TurnQueue;
  readonly dir: string;
  readonly model: ScriptedModel;
  readonly bus: Bus;
  readonly teamId: string;
  readonly #parts: Parts;
  #lines = new Lines();
  #stops: (() => Promise<unknown>)[] = [];
  readonly #workers = new Set<RunningWorker>();

  constructor(parts: Parts) {
    this.#parts = parts;
    ({ url: this.url, db: this.db, backend: this.backend, dir: this.dir } = parts);
    ({ model: this.model, bus: this.bus, teamId: this.teamId } = parts);
    this.queue = parts.backend.queue();
  }

  /** Resolves when a tool of a worker in this process has said a line that begins so. */
  hears = (beginning: string): Promise<string> => this.#lines.hears(beginning);

  /** A worker in this process; stopped after the test. */
  startWorker = async (options: Partial<WorkerOptions> = {}): Promise<RunningWorker> => {
    const { url, db, backend, bus } = this;
    const sandbox = whenNeeded(() => createUnconfinedSandbox({ environment: process.env, killGraceMs: 100 }));
    const log = process.env.WORKER_LOG ? createLog({ level: 'debug', pretty: true }) : silentLog;
    const worker = await startWorker({
      ...{ db, directUrl: url, backend, bus, sandbox, log, version: 'test', concurrency: 8 },
      models: createModels({ env: { baseUrl: this.model.baseUrl } }),
      tools: createRegistry(workerTools((line) => this.#lines.say(line))),
      dataDir: join(this.dir, 'data'),
      retry: QUICK_RETRY,
      ...{ cloneRetry: QUICK_RETRY, repositories: OWN_REPOSITORIES },
      ...options,
    });
    this.#workers.add(worker);
    this.#stops.push(() => worker.stop().finally(() => sandbox.close()));
    return worker;
  };

  /** A worker in a process of its own; killed after the test. `url`: what it reaches Postgres by. */
  startChild = async (
    options: ChildSettings['options'] = {},
    { url = this.url, ...more }: { url?: string } & Pick<ChildSettings, 'points' | 'confined'> = {},
  ): Promise<ChildWorker> => {
    const settings: ChildSettings = {
      ...{ url, modelUrl: this.model.baseUrl, dataDir: join(this.dir, 'data') },
      ...(this.#parts.redisUrl === undefined ? {} : { redisUrl: this.#parts.redisUrl }),
      ...more,
      options: { retry: QUICK_RETRY, cloneRetry: QUICK_RETRY, repositories: OWN_REPOSITORIES, ...options },
    };
    return spawnWorker(settings, (stop) => this.#stops.push(stop));
  };

  /** Children go on. */
  stopInProcess = async (): Promise<void> => {
    await Promise.all([...this.#workers].map((worker) => worker.stop()));
    this.#workers.clear();
  };

  stopWorkers = async (): Promise<void> => {
    this.model.release();
    await Promise.all(this.#stops.splice(0).map((stop) => stop()));
    this.#lines = new Lines();
  };

  submit = async (wanted: Wanted = {}): Promise<Task> => {
    const { teamId, userId, scripts } = this.#parts;
    const { prompt = 'Go.', mode = 'auto', limits = {}, attached = [], sessionId } = wanted;
    const repository = typeof wanted.git === 'function' ? wanted.git(this.dir) : wanted.git;
    const path = wanted.local ? await mkdtemp(join(this.dir, 'user-')) : wanted.path;
    const plain = submissionOf(
      { ...this, teamId, userId },
      { text: prompt, attached, limits, ...(sessionId === undefined ? {} : { sessionId }) },
    );
    const delegates = Object.entries(wanted.delegates ?? {}).map(([agent, given]) =>
      delegateOf(agent, given, { mode, scripts }),
    );
    const profile: Profile = {
      ...{ agent: 'test', prompt: PROFILE.prompt, model: wanted.model ?? 'env/scripted', mode },
      ...(wanted.router === undefined ? {} : { router: wanted.router }),
      tools: wanted.tools ?? workerTools(() => {}).map((tool) => tool.name),
      ...(wanted.permissions === undefined ? {} : { permissions: wanted.permissions }),
      ...(wanted.mcp === undefined ? {} : { mcp: wanted.mcp }),
      ...(wanted.context === undefined ? {} : { context: wanted.context }),
      ...(delegates.length > 0 && {
        delegates: Object.fromEntries(delegates.map(({ hash, body }) => [body.agent, hash])),
      }),
    };
    const profileHash = newId().replaceAll('-', '').padEnd(64, '0');
    const { roots, beside, projectServers } = wanted;
    const plainWorkspace = {
      id: newId(),
      ...(repository === undefined
        ? {
            kind: path === undefined ? 'empty' : 'local',
            path: path ?? null,
            ...(beside && { source: { beside } }),
            ...(projectServers && { projectServers }),
          }
        : { kind: 'git', path: null, source: { url: repository.url, ref: repository.ref ?? null } }),
    } as const;
    const workspace =
      roots === undefined
        ? plainWorkspace
        : { id: plainWorkspace.id, kind: 'roots', path: null, source: { roots } };
    const session = sessionId === undefined ? { ...plain.session, workspace } : plain.session;
    if (wanted.script !== undefined) scripts.set(session.id, wanted.script);
    const outcome = await createTask(this.db, {
      ...plain,
      session: session as Submission['session'],
      task: {
        ...{ ...plain.task, profile, profileHash, delegates },
        ...(wanted.accounts === undefined ? {} : { reserve: wanted.accounts }),
      },
    });
    if (outcome.outcome !== 'created') throw new Error(`not created: ${outcome.outcome}`);
    if (outcome.wake && wanted.unwoken !== true) await this.queue.wake(outcome.wake);
    return {
      ...{ taskId: outcome.taskId, sessionId: outcome.sessionId, turnId: plain.task.turnId },
      root: path ?? join(this.dir, 'data', 'workspaces', workspace.id, 'files'),
      scratch: join(this.dir, 'data', 'scratch', workspace.id),
    };
  };

  task = async (taskId: string): Promise<TaskRow> => {
    const [row] = await this.db.sql<TaskRow & Record<string, unknown>>`
      SELECT status, waiting_on, error_code, error_message, result_position FROM task WHERE id = ${taskId}`;
    if (row === undefined) throw new Error(`there is no task ${taskId}`);
    return row;
  };

  /** Looks until it finds something, and returns that. */
  until = async <T>(what: string, look: () => Promise<T | undefined | false>): Promise<T> => {
    const giveUpAt = performance.now() + PATIENCE_MS;
    for (let pause = POLL.firstMs; ; pause = Math.min(pause * POLL.growth, POLL.longestMs)) {
      const found = await look();
      if (found !== undefined && found !== false) return found;
      if (performance.now() > giveUpAt) throw new Error(`waited ${PATIENCE_MS} ms in vain: ${what}`);
      await delay(pause);
    }
  };

  taskEnds = ({ taskId }: Task): Promise<TaskRow> =>
    this.until('the task ends', async () => {
      const row = await this.task(taskId);
      return ['succeeded', 'failed', 'cancelled'].includes(row.status) && row;
    });

  taskIs = ({ taskId }: Task, wanted: Partial<TaskRow>): Promise<TaskRow> =>
    this.until(`the task is ${JSON.stringify(wanted)}`, async () => {
      const row = await this.task(taskId);
      return Object.entries(wanted).every(([name, value]) => row[name as keyof TaskRow] === value) && row;
    });

  /** As the API does it: the mark, then word of it. Returns how many milliseconds later the task had ended. */
  cancel = async (task: Task): Promise<number> => {
    const began = performance.now();
    await this.requestCancel(task);
    await this.taskEnds(task);
    return performance.now() - began;
  };

  requestCancel = async ({ taskId }: Task): Promise<string> => {
    const { teamId } = this.#parts;
    const outcome = await cancelTask(this.db, { teamId, taskId, nextTurnId: newId() });
    if (outcome.outcome === 'requested' || outcome.outcome === 'cancelled') await this.announce(outcome);
    return outcome.outcome;
  };

  /** As the API does it: the mark, then word of it. */
  pause = async ({ taskId }: Task): Promise<void> => {
    const outcome = await pauseTask(this.db, { teamId: this.#parts.teamId, taskId });
    if (outcome.outcome !== 'paused') throw new Error(`not paused: ${outcome.outcome}`);
    const { rootId, paused } = outcome;
    for (const each of paused) this.bus.publish({ type: 'pause', rootId, taskId: each });
  };

  resume = async ({ taskId }: Task): Promise<void> => {
    const outcome = await resumeTask(this.db, { teamId: this.#parts.teamId, taskId });
    if (outcome.outcome !== 'resumed') throw new Error(`not resumed: ${outcome.outcome}`);
    await this.announce(outcome);
  };

  /** Of what is delegated below it: how many turns stand still since they are paused. */
  pausedBelow = async ({ taskId }: Task): Promise<number> => {
    const rows = await this.db.sql`
      SELECT FROM turn u JOIN task t ON t.id = u.task_id WHERE t.parent_task_id = ${taskId} AND u.is_paused`;
    return rows.length;
  };

  /** As whoever has committed something does. */
  announce = async (committed: {
    readonly rootId: string;
    readonly wake?: Wake | null;
    readonly also?: Also;
  }): Promise<void> => {
    const { rootId, wake, also } = committed;
    for (const taskId of also?.stopped ?? []) this.bus.publish({ type: 'cancel', rootId, taskId });
    for (const each of [...(wake ? [wake] : []), ...(also?.wakes ?? [])]) await this.queue.wake(each);
  };

  /** The tasks that were delegated below a session tree's root, in the order in which they began. */
  children = ({ sessionId }: Pick<Task, 'sessionId'>): Promise<Child[]> =>
    this.db.sql<Child & Record<string, unknown>>`
      SELECT d.child_session_id AS "sessionId", d.child_task_id AS "taskId", t.status, t.waiting_on, t.error_code, s.title, d.status AS delegation,
             d.has_slot AS "hasSlot", s.depth
        FROM delegation d JOIN task t ON t.id = d.child_task_id JOIN session s ON s.id = d.child_session_id
       WHERE d.root_id = ${sessionId} ORDER BY d.created_at, d.tool_call_id`;

  /** The open approvals of a task, in the order of their calls. */
  approvals = async ({ taskId }: Task): Promise<string[]> => {
    const rows = await this.db.sql<{ id: string }>`
      SELECT a.id FROM approval a JOIN tool_call c ON c.id = a.tool_call_id
       WHERE a.task_id = ${taskId} AND a.status = 'open' ORDER BY c.ordinal`;
    return rows.map((row) => row.id);
  };

  answer = async (
    approvalId: string,
    decision: 'allowed' | 'denied',
    { message, ruleId }: { message?: string; ruleId?: string } = {},
  ): Promise<void> => {
    const { teamId, userId } = this.#parts;
    const said = {
      ...(message === undefined ? {} : { message }),
      ...(ruleId === undefined ? {} : { ruleId }),
    };
    const outcome = await resolveApproval(this.db, { teamId, userId, approvalId, decision, ...said });
    if (outcome.outcome === 'resolved') await this.announce(outcome);
  };

  entries = ({ sessionId }: Task) => readEntries(this.db, sessionId, 0);

  /** Status and name of the session's calls, in order. */
  calls = async ({ sessionId }: Task): Promise<string[]> => {
    const rows = await this.db.sql<{ line: string }>`
      SELECT c.name || ' ' || c.status AS line FROM tool_call c JOIN turn u ON u.id = c.turn_id
        JOIN task t ON t.id = u.task_id WHERE c.session_id = ${sessionId} ORDER BY t.ordinal, u.number, c.ordinal`;
    return rows.map((row) => row.line);
  };

  /** How each attempt of the session ended, in order; `open` where it has not. */
  attempts = async ({ sessionId }: Task): Promise<string[]> => {
    const rows = await this.db.sql<{ outcome: string | null }>`
      SELECT a.outcome FROM attempt a JOIN turn u ON u.id = a.turn_id
       WHERE u.session_id = ${sessionId} ORDER BY a.started_at, a.id`;
    return rows.map((row) => row.outcome ?? 'open');
  };

  /** What was booked for each request of the session that may have cost something, in order. */
  usage = async ({ sessionId }: Task): Promise<string[]> => {
    const rows = await this.db.sql<{ outcome: string }>`
      SELECT outcome FROM usage WHERE session_id = ${sessionId} ORDER BY created_at, attempt_id`;
    return rows.map((row) => row.outcome);
  };

  /** What the tools left a line of, each time that they ran. */
  noted = ({ scratch }: Task): string[] => this.read({ root: scratch }, 'calls').split('\n').slice(0, -1);

  /** What the `note` calls left in the task's workspace. */
  notes = (task: Task): string[] => this.read(task, 'notes').split('\n').slice(0, -1);

  /** A file of the task's workspace; '' where there is none. */
  read = ({ root }: Pick<Task, 'root'>, name: string): string => {
    try {
      return readFileSync(join(root, name), 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '';
      throw error;
    }
  };
}
