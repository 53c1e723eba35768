/** Plays scenes, each in a world of its own: undisturbed, and with the worker killed or stopped at a point. */
import type { Part } from '../../src/core/entry.ts';
import { withNamespace } from '../support/redis.ts';
import { changesBetween, type RowChanges, snapshotRows } from '../support/rows.ts';
import {
  openWorld,
  type QueueKind,
  SHORT_LEASE,
  type Task,
  type TaskRow,
  type World,
} from '../support/worker.ts';
import type { ChildSettings } from '../support/worker-child.ts';
import type { ChildWorker } from '../support/worker-process.ts';
import { At, type Scene } from './scenes.ts';

export interface Played {
  readonly world: World;
  readonly task: Task;
  /** The worker that is stopped. */
  readonly child: ChildWorker;
}

/** What came of a task, without what may differ from run to run: ids, times, which attempts there were. */
export interface Outcome {
  readonly task: TaskRow;
  readonly turns: readonly string[];
  readonly entries: readonly {
    readonly kind: string;
    readonly position: number;
    readonly turn: number;
    readonly parts: readonly Part[] | null;
    readonly callId: string | null;
    readonly status: string | null;
    readonly stopReason: string | null;
  }[];
  readonly calls: readonly {
    readonly turn: number;
    readonly callId: string;
    readonly name: string;
    readonly status: string;
    readonly output: string | null;
  }[];
  /** What the answers that count have used. */
  readonly usage: readonly unknown[];
  readonly events: readonly string[];
  /** What the calls told the world, a line each. */
  readonly lines: readonly string[];
  /** What they left in the workspace. */
  readonly notes: readonly string[];
  /** How often the model was asked, per turn. */
  readonly requests: readonly number[];
}

export interface Reading {
  readonly scene: Scene;
  readonly outcome: Outcome;
  /** Every point that its worker reached, in order. */
  readonly trace: readonly string[];
}

/** Whoever finishes what another has begun. */
const PEER_SWEEP = { everyMs: 50, unclaimedMs: 200 };
/** So that nothing is looked for in vain, which would be a point that only a slow machine reaches. */
const PATIENT_SWEEP = { everyMs: 50, unclaimedMs: 60_000 };

/** The scene, undisturbed. */
export function read(kind: QueueKind, scene: Scene): Promise<Reading> {
  return inWorld(kind, async (world) => {
    const { child, others, task } = await begin(world, scene, {});
    const ends = world.taskEnds(task);
    await Promise.race([child.ended, ends]);
    if (child.process.exitCode !== null) await world.startWorker({ sweep: PEER_SWEEP });
    await Promise.all([ends, others]);
    child.kill('SIGTERM');
    await child.ended;
    return { scene, outcome: await outcomeOf(world, task, scene), trace: traceOf(child) };
  });
}

/** The worker is killed at the point; a peer finishes. */
export function kill(kind: QueueKind, scene: Scene, point: string): Promise<Outcome> {
  return inWorld(kind, async (world) => {
    const { child, others, task } = await begin(world, scene, { stopAt: point, signal: 'SIGKILL' });
    await child.hears(`reached ${point}`);
    await child.ended;
    await world.startWorker({ sweep: PEER_SWEEP, lease: SHORT_LEASE });
    await Promise.all([world.taskEnds(task), others]);
    return outcomeOf(world, task, scene);
  });
}

export interface Paused {
  /** When the peer had finished. */
  readonly outcome: Outcome;
  /** When the paused worker had gone on to its end. */
  readonly after: Outcome;
  /** Rows of any table but the workers' that it changed. */
  readonly changes: RowChanges;
}

/** The worker is paused at the point for longer than its lease; a peer finishes; then it goes on, and stops. */
export function pause(kind: QueueKind, scene: Scene, point: string): Promise<Paused> {
  return inWorld(kind, async (world) => {
    const { child, others, task } = await begin(world, scene, { stopAt: point, signal: 'SIGSTOP' });
    await child.hears(`reached ${point}`);
    await world.startWorker({ sweep: PEER_SWEEP, lease: SHORT_LEASE });
    await Promise.all([world.taskEnds(task), others]);
    const outcome = await outcomeOf(world, task, scene);
    const rows = await snapshotRows(world.db);
    child.kill('SIGCONT');
    await child.hears('idle');
    child.kill('SIGTERM');
    await child.ended;
    const { worker: _, ...changes } = changesBetween(rows, await snapshotRows(world.db));
    return { outcome, after: await outcomeOf(world, task, scene), changes };
  });
}

export function expectedAt({ scene, outcome, trace }: Reading, point: string): Outcome {
  return scene.expected?.(outcome, new At(point, trace)) ?? outcome;
}

async function begin(world: World, scene: Scene, points: ChildSettings['points']) {
  const task = await world.submit(scene.wanted);
  const played = { world, task } as Played;
  await scene.before?.(played);
  const options = {
    lease: SHORT_LEASE,
    sweep: scene.sweep ?? PATIENT_SWEEP,
    readGraceMs: scene.readGraceMs ?? 0,
    ...(scene.concurrency === undefined ? {} : { concurrency: scene.concurrency }),
    ...(scene.allowances === undefined ? {} : { allowances: scene.allowances }),
  };
  const child = await world.startChild(options, { points: points ?? {} });
  const others = scene.meanwhile?.({ ...played, child });
  // Its failure is the test's to see, when it awaits `others`.
  others?.catch(() => {});
  return { task, child, others };
}

async function inWorld<T>({ redis, ...kind }: QueueKind, play: (world: World) => Promise<T>): Promise<T> {
  const own = redis === undefined ? {} : { redis: { ...redis, url: withNamespace(redis.url) } };
  const { world, rest, close } = await openWorld({ ...kind, ...own });
  try {
    const played = await play(world);
    await rest();
    return played;
  } finally {
    await world.stopWorkers();
    await close();
  }
}

function traceOf(child: ChildWorker): string[] {
  const lines = child.said().filter((line) => line.startsWith('reached '));
  return lines.map((line) => line.slice('reached '.length));
}

/** Which attempts there were, and what people were shown of it. */
const OF_ATTEMPTS = ['turn.started', 'turn.recovered', 'agent.state_changed'];

async function outcomeOf(world: World, task: Task, { ignored = [] }: Scene): Promise<Outcome> {
  const { db } = world;
  const { sessionId, taskId } = task;
  const turns = await db.sql<{ id: string; number: number; status: string }>`
    SELECT id, number, status FROM turn WHERE task_id = ${taskId} ORDER BY number`;
  const entries = await db.sql<Outcome['entries'][number]>`
    SELECT e.kind, e.position, u.number AS turn, e.parts, e.call_id AS "callId", e.status, e.stop_reason AS "stopReason"
      FROM entry e JOIN turn u ON u.id = e.turn_id WHERE e.session_id = ${sessionId} ORDER BY e.position`;
  const calls = await db.sql<Outcome['calls'][number]>`
    SELECT u.number AS turn, c.call_id AS "callId", c.name, c.status, encode(c.output_hash, 'hex') AS output
      FROM tool_call c JOIN turn u ON u.id = c.turn_id WHERE c.session_id = ${sessionId} ORDER BY u.number, c.ordinal`;
  const usage = await db.sql`
    SELECT u.number AS turn, g.model, g.input, g.output, g.cached, g.reasoning, trim_scale(g.usd)::text AS usd FROM usage g JOIN turn u ON u.id = g.turn_id
     WHERE g.session_id = ${sessionId} AND g.outcome = 'recorded' ORDER BY u.number`;
  const events = await db.sql<{
    type: string;
  }>`SELECT type FROM event WHERE session_id = ${sessionId} ORDER BY seq`;
  return {
    task: await world.task(taskId),
    turns: turns.map(({ number, status }) => `${number} ${status}`),
    entries: entries.map((entry) => ({ ...entry, parts: anywhere(entry.parts, world) })),
    calls,
    usage,
    events: events.map(({ type }) => type).filter((type) => ![...OF_ATTEMPTS, ...ignored].includes(type)),
    lines: calls.some(({ name }) => name === 'note') ? [] : world.noted(task),
    notes: world.notes(task),
    requests: turns.map(({ number }) => world.model.requestsOf(sessionId, number).length),
  };
}

/** The project's context says where and when, and a cut result by which call it can be read. */
function anywhere(parts: Outcome['entries'][number]['parts'], { dir }: World) {
  return (
    parts?.map((part) => {
      if (part.type !== 'text') return part;
      const text = part.text
        .replaceAll(new RegExp(`${dir}\\S*`, 'g'), '(root)')
        .replace(/^Date: .*$/m, '(date)')
        .replace(/\bout_[0-9a-f]{32}\b/g, '(output)')
        .replace(/\bses_[0-9a-f]{32}\b/g, '(session)')
        .replace(/<duration>.*?<\/duration>|<usage .*?\/>/g, '(effort)');
      return { ...part, text };
    }) ?? null
  );
}

/** A point without its number: the step or act, and which side of it. */
export function stepOf(point: string): string {
  return point.replace(/#\d+$/, '');
}

export function pointsOf({ scene, trace }: Reading): readonly string[] {
  return scene.points ?? trace;
}

/**
 * Those of them that differ in what is durable or has begun: between the end of one step and the beginning of the next a
 * worker only decides, so that to stop there is to stop after the first.
 */
export function distinctPointsOf(reading: Reading): readonly string[] {
  const { trace } = reading;
  const follows = (point: string) => trace[trace.indexOf(point) - 1]?.startsWith('after ') === true;
  return pointsOf(reading).filter((point) => !(point.startsWith('before ') && follows(point)));
}
