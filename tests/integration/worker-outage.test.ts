import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, test } from 'vitest';
import { silentLog } from '../../src/log.ts';
import { type Database, openDatabase } from '../../src/store/database.ts';
import { type Line, lineTo } from '../store/reply-thief.ts';
import { call, hang, say, sequence } from '../support/scripted-model/scripted-model.ts';
import { SHORT_LEASE, type Task, useWorld } from '../support/worker.ts';

const world = useWorld({ kind: 'postgres' });
const lease = SHORT_LEASE;
/** Every lease has run out when it ends. */
const OUTAGE_MS = 2 * lease.leaseMs;

/** More than `STOP_PATIENCE_MS` and the goodbyes after it; half a minute, where each waited as long as it would. */
const STOP_MS = 8_000;

const opened: { line: Line; db: Database }[] = [];
afterEach(async () => {
  await world.stopWorkers();
  for (const { line, db } of opened.splice(0)) {
    await db.close();
    await line.close();
  }
});

/** What a worker reaches Postgres by, over a line that can be down; its queue is not on it. */
async function line() {
  const line = await lineTo(world.url);
  const db = openDatabase({ url: line.url, log: silentLog, patienceMs: 50 });
  opened.push({ line, db });
  return { line, options: { db, directUrl: line.url, lease } };
}

const askedFor = ({ sessionId }: Task) => world.model.waitForRequest((r) => r.sessionId === sessionId);
const recovered = async ({ sessionId }: Task) =>
  (await world.db.sql`SELECT seq FROM event WHERE session_id = ${sessionId} AND type = 'turn.recovered'`)
    .length;

describe('an outage of Postgres that is longer than a lease', () => {
  test.each(['down', 'freeze'] as const)(
    'delays the turns of every worker (%s), and takes none over',
    async (how) => {
      const { line: common, options } = await line();
      const workers = [await world.startWorker(options), await world.startWorker(options)];
      const gate = Promise.withResolvers<void>();
      const script = sequence([
        [say('Half'), hang(gate.promise), call('note', { text: 'once' })],
        say('Done.'),
      ]);
      const tasks = await Promise.all(Array.from({ length: 6 }, () => world.submit({ script })));
      for (const task of tasks) await askedFor(task);
      common[how]();
      gate.resolve();
      await delay(OUTAGE_MS);
      common.up();
      for (const task of tasks) {
        expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
        expect(await world.attempts(task)).toEqual(['settled', 'settled']);
        expect(world.model.requestsOf(task.sessionId)).toHaveLength(2);
        expect(world.noted(task)).toEqual(['once']);
        expect(await recovered(task)).toBe(0);
      }
      for (const { id } of workers)
        expect(await world.db.sql`SELECT ended_at FROM worker WHERE id = ${id}`).toEqual([
          { ended_at: null },
        ]);
    },
  );

  test('for one worker alone is the loss of that worker', async () => {
    const { line: own, options } = await line();
    await world.startWorker(options);
    const tasks = await Promise.all(
      Array.from({ length: 4 }, () => world.submit({ script: sequence([[hang(), say('Whole.')]]) })),
    );
    for (const task of tasks) await askedFor(task);
    await world.startWorker({ lease });
    own.down();
    await world.until('all are asked for again', async () =>
      tasks.every(({ sessionId }) => world.model.requestsOf(sessionId).length === 2),
    );
    own.up();
    world.model.release();
    for (const task of tasks) {
      expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
      expect(await world.attempts(task)).toEqual(['lost', 'settled']);
      expect(await recovered(task)).toBe(1);
    }
  });
});

describe('a worker that is told to stop while Postgres is away', () => {
  test.each(['down', 'freeze'] as const)(
    'ends within seconds (%s), and its turn goes on elsewhere',
    async (how) => {
      const { line: own } = await line();
      const child = await world.startChild({}, { url: own.url });
      const task = await world.submit({
        script: ({ attempt }) => (attempt === 1 ? [say('Half'), hang()] : say('Whole.')),
      });
      await askedFor(task);
      own[how]();
      // Statements are on their way when it is told.
      await delay(1_200);
      const began = performance.now();
      child.kill('SIGTERM');
      await child.ended;
      expect(performance.now() - began).toBeLessThan(STOP_MS);
      await world.startWorker({ lease });
      expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
    },
  );
});
