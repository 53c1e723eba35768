import { Redis } from 'ioredis';
import { Client } from 'pg';
import { describe, expect, test } from 'vitest';
import { redisTarget } from '../../src/redis.ts';
import { call, hang, say, sequence } from '../support/scripted-model/scripted-model.ts';
import { queueKinds, type Task, useWorld } from '../support/worker.ts';

const kinds = await queueKinds('faults of queue and Postgres on Redis');

describe.each(kinds)('on $kind', (kind) => {
  const world = useWorld(kind);
  const askedFor = ({ sessionId }: Task) => world.model.waitForRequest((r) => r.sessionId === sessionId);
  const requestsOf = ({ sessionId }: Task) => world.model.requestsOf(sessionId);

  /** Everything the queue holds is gone, behind Capybara's back. */
  async function loseJobs(): Promise<void> {
    if (kind.redis === undefined) return void (await world.db.pool.query('DELETE FROM bullmq.job'));
    const { url, namespace } = redisTarget(kind.redis.url);
    const client = new Redis(url);
    const all = "for _, key in ipairs(redis.call('KEYS', ARGV[1])) do redis.call('DEL', key) end";
    await client.eval(all, 0, `{${namespace}}*`);
    client.disconnect();
  }

  test('a job that is lost is found missing and replaced', async () => {
    const tasks = [await world.submit(), await world.submit({ unwoken: true })];
    await loseJobs();
    await world.startWorker();
    for (const task of tasks) {
      expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
      expect(requestsOf(task)).toHaveLength(1);
    }
    const [turn] = await world.db.sql`SELECT wake FROM turn WHERE task_id = ${tasks[0]?.taskId}`;
    expect(turn?.wake).toBeGreaterThan(1);
  });

  test('jobs that are lost in the middle of everything delay, and double nothing', async () => {
    await world.startWorker();
    const script = sequence([0, 1, 2, 3].map((n) => (n < 3 ? call('note', { text: `${n}` }) : say('Done.'))));
    const tasks = await Promise.all(Array.from({ length: 6 }, () => world.submit({ script })));
    for (let round = 0; round < 5; round++) {
      await loseJobs();
      await askedFor(tasks[round] as Task);
    }
    for (const task of tasks) {
      expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
      expect(world.noted(task)).toEqual(['0', '1', '2']);
      expect(requestsOf(task)).toHaveLength(4);
    }
  });

  test('a job that comes twice, late or for nothing does no harm', async () => {
    const task = await world.submit({
      script: ({ attempt }) => (attempt === 1 ? [hang(), say('Hi.')] : say('?')),
    });
    const { turnId } = task;
    await world.queue.wakeAll([2, 3, 4, 5].map((wake) => ({ turnId, wake })));
    await world.queue.wake({ turnId: '01a1fc14-36d7-7cef-9e47-b45c13f06f77', wake: 1 });
    await world.startWorker();
    await world.startWorker();
    await askedFor(task);
    await world.queue.wakeAll([6, 7].map((wake) => ({ turnId, wake })));
    await world.until('all jobs are looked at', async () => {
      const states = await world.queue.states([2, 3, 4, 5, 6, 7].map((wake) => ({ turnId, wake })));
      return states.filter((state) => state === 'missing').length >= 5;
    });
    world.model.release();
    expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
    expect(requestsOf(task)).toHaveLength(1);
    expect(await world.attempts(task)).toEqual(['settled']);
  });

  test('when Postgres ends every connection, the turns go on and nothing is doubled', async () => {
    const gate = Promise.withResolvers<void>();
    const worker = await world.startWorker();
    const script = sequence([
      [call('note', { text: '0' }), call('note', { text: '1' })],
      [say('Half'), hang(gate.promise), call('note', { text: '2' })],
      say('Done.'),
    ]);
    const tasks = await Promise.all(Array.from({ length: 4 }, () => world.submit({ script })));
    for (const { sessionId } of tasks)
      await world.model.waitForRequest((r) => r.sessionId === sessionId && r.turn === 2);
    await endConnections();
    gate.resolve();
    await endConnections();
    for (const task of tasks) {
      expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
      expect(world.noted(task)).toEqual(['0', '1', '2']);
      expect(requestsOf(task)).toHaveLength(3);
      expect(await world.attempts(task)).toEqual(['settled', 'settled', 'settled']);
    }
    const [row] = await world.db.sql`SELECT ended_at FROM worker WHERE id = ${worker.id}`;
    expect(row).toEqual({ ended_at: null });
  });

  test('a worker that was held for dead starts over under another name, and works on', async () => {
    const worker = await world.startWorker({ lease: { renewMs: 50 } });
    const before = worker.id;
    const task = await world.submit({
      script: ({ attempt }) => (attempt === 1 ? [say('Half'), hang()] : say('Whole.')),
    });
    const request = await askedFor(task);
    await world.db.sql`UPDATE worker SET ended_at = clock_timestamp() WHERE id = ${before}`;
    expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
    expect(worker.id).not.toBe(before);
    await world.until('the first request ends', async () => request.outcome === 'abandoned');
    expect(await world.attempts(task)).toEqual(['lost', 'settled']);
  });

  test('fifty sessions over two workers all succeed, each request is sent once', async () => {
    const [one, two] = [await world.startWorker(), await world.startWorker()];
    const script = sequence([
      [call('look', { text: 'a' }), call('note', { text: '0' })],
      call('note', { text: '1' }),
      say('Done.'),
    ]);
    const before = world.model.requests.length;
    const tasks = await Promise.all(Array.from({ length: 50 }, () => world.submit({ script })));
    for (const task of tasks) {
      expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
      expect(world.noted(task)).toEqual(['0', '1']);
    }
    expect(world.model.requests.length - before).toBe(150);
    const workers = await world.db.sql<{ id: string }>`
      SELECT DISTINCT worker_id AS id FROM attempt WHERE worker_id IN (${one.id}, ${two.id})`;
    expect(workers).toHaveLength(2);
    const [open] = await world.db.sql`SELECT count(*)::int AS open FROM attempt WHERE ended_at IS NULL`;
    expect(open).toEqual({ open: 0 });
  });

  async function endConnections(): Promise<void> {
    const client = new Client(world.url);
    await client.connect();
    await client.query(
      'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()',
    );
    await client.end();
  }
});
