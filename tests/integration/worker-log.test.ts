import { describe, expect, test, vi } from 'vitest';
import { z } from 'zod';
import { createRegistry } from '../../src/tools/registry.ts';
import { defineTool } from '../../src/tools/tool.ts';
import { takeLease } from '../../src/worker/lease.ts';
import { bytesOf, LogCache } from '../../src/worker/log-cache.ts';
import { call, say, sequence } from '../support/scripted-model/scripted-model.ts';
import { useWorld } from '../support/worker.ts';
import { workerTools } from '../support/worker-tools.ts';

describe('what a worker remembers', () => {
  const world = useWorld({ kind: 'postgres' });

  test('of a turn that it lost is what was committed, also when it gets the turn again', async () => {
    const started = Promise.withResolvers<void>();
    let runs = 0;
    const slow = defineTool({
      name: 'endless_read',
      description: 'Waits to be stopped, but only once.',
      parameters: z.object({}),
      effect: 'read',
      async execute(_, { signal }) {
        runs += 1;
        started.resolve();
        if (runs === 1)
          await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
        return { text: `run ${runs}` };
      },
    });
    const tools = workerTools(() => {}).filter((tool) => ['look', 'note'].includes(tool.name));
    const worker = await world.startWorker({
      tools: createRegistry([...tools, slow]),
      lease: { renewMs: 50 },
    });
    // The first two are closed, but not committed, while the third runs.
    const calls = [call('look', { text: 'a' }), call('note', { text: 'b' }), call('endless_read')];
    const task = await world.submit({ mode: 'plan', script: sequence([calls, say('Done.')]) });
    await started.promise;
    await world.db.sql`UPDATE worker SET ended_at = clock_timestamp() WHERE id = ${worker.id}`;
    expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded', result_position: 7 });
    expect((await world.entries(task)).map((entry) => entry.kind)).toEqual([
      ...['user', 'notice', 'assistant', 'tool_result', 'tool_result', 'tool_result', 'assistant'],
    ]);
    expect(world.model.requestsOf(task.sessionId)).toHaveLength(2);
    expect(world.model.requestsOf(task.sessionId)[1]?.lastToolResults.map(({ text }) => text)).toEqual([
      'a',
      expect.stringMatching(/^Denied: /),
      'run 2',
    ]);
  });

  test('is bounded: a log that was forgotten is read again, whole', async () => {
    await world.startWorker();
    const [one, two] = [await world.submit(), await world.submit()];
    await Promise.all([world.taskEnds(one), world.taskEnds(two)]);
    const cache = new LogCache({ sessions: 1 });
    const first = await cache.read(world.db, one.sessionId);
    expect(first).toEqual(await world.entries(one));
    expect(await cache.read(world.db, two.sessionId)).toEqual(await world.entries(two));
    expect(await cache.read(world.db, one.sessionId)).toEqual(first);
    cache.expect('a turn', one.sessionId);
    expect(cache.known('a turn')).toBe(first.length);
    cache.expect('another turn', two.sessionId);
    expect(cache.known('a turn')).toBe(0);
  });

  test('is bounded in bytes: the oldest logs are forgotten for the newest, and one that is too long alone', async () => {
    await world.startWorker();
    const tasks = [await world.submit(), await world.submit(), await world.submit()];
    for (const task of tasks) await world.taskEnds(task);
    const sizes = await Promise.all(
      tasks.map(async (task) => (await world.entries(task)).reduce((sum, entry) => sum + bytesOf(entry), 0)),
    );
    const known = async (bytes: number, order: readonly number[]) => {
      const cache = new LogCache({ bytes });
      for (const [index, task] of tasks.entries()) cache.expect(`turn ${index}`, task.sessionId);
      for (const index of order) await cache.read(world.db, tasks[index]?.sessionId ?? '');
      return tasks.map((_, index) => cache.known(`turn ${index}`) > 0);
    };
    const [a = 0, b = 0, c = 0] = sizes;
    expect(await known(a + b + c, [0, 1, 2])).toEqual([true, true, true]);
    expect(await known(a + b + c - 1, [0, 1, 2])).toEqual([false, true, true]);
    expect(await known(a + b + c - 1, [0, 1, 0, 2])).toEqual([true, false, true]);
    expect(await known(b + c, [0, 1, 2, 2, 1])).toEqual([false, true, true]);
    expect(await known(a, [0])).toEqual([true, false, false]);
    expect(await known(a - 1, [0])).toEqual([false, false, false]);
  });

  test('counts each entry once, also where a log is learned twice at once, or forgotten meanwhile', async () => {
    await world.startWorker();
    const task = await world.submit({ script: sequence([call('look', { text: 'a' }), say('Done.')]) });
    await world.taskEnds(task);
    const entries = await world.entries(task);
    const bytes = entries.reduce((sum, entry) => sum + bytesOf(entry), 0);
    const cache = new LogCache({ bytes });
    cache.expect('a turn', task.sessionId);
    for (const told of [undefined, { after: 0, entries: entries.slice(0, 2) }, { after: 2, entries }]) {
      await Promise.all([1, 2].map(() => cache.read(world.db, task.sessionId, told)));
      expect(cache.known('a turn')).toBe(entries.length);
    }
    const tiny = new LogCache({ bytes: 1 });
    const read = await Promise.all([1, 2, 3].map(() => tiny.read(world.db, task.sessionId)));
    expect(read).toEqual([entries, entries, entries]);
  });

  test('is its own: what a reader does with a log changes no other’s', async () => {
    await world.startWorker();
    const task = await world.submit();
    await world.taskEnds(task);
    const cache = new LogCache();
    const [mine, other] = await Promise.all([1, 2].map(() => cache.read(world.db, task.sessionId)));
    mine?.splice(0);
    expect(other).toEqual(await world.entries(task));
    expect(await cache.read(world.db, task.sessionId)).toEqual(other);
  });
});

describe('a lease', () => {
  const world = useWorld({ kind: 'postgres' });
  const nothing = () => {};

  const take = (leaseMs: number, closing: AbortSignal) => {
    const timing = { leaseMs, renewMs: 200, wedgedMs: 30_000, marginMs: 300 };
    const log = { debug: nothing, info: nothing, warn: nothing, error: nothing, child: () => log };
    const { url } = world;
    return takeLease({ url, version: 'test', log, timing, onRenewed: nothing, onEnded: nothing }, closing);
  };

  test('must be longer than renewing it and its margin take', async () => {
    const { signal } = new AbortController();
    await expect(take(500, signal)).rejects.toThrow(
      'A lease of 500 ms is renewed every 200 ms and needs 300 ms to spare: it must be longer than both together.',
    );
    const lease = await take(501, signal);
    await lease.untilSafe(signal);
    await lease.close();
  });

  test('is given up by a worker that closes before it has it', async () => {
    const closing = new AbortController();
    const lease = take(10_000, closing.signal);
    closing.abort();
    await expect(lease).rejects.toThrow('the lease thread ended');
  });

  test('is another stretch of time after its connection was lost, so that what was claimed before is looked at again', async () => {
    const { signal } = new AbortController();
    const lease = await take(2_000, signal);
    const before = lease.unbroken;
    await lease.untilSafe(signal);
    expect(lease.unbroken).toBe(before);
    await world.db.sql`
      SELECT pg_terminate_backend(pid) FROM pg_stat_activity
       WHERE application_name = 'capybara lease' AND datname = current_database()`;
    await vi.waitFor(() => expect(lease.unbroken).not.toBe(before), { timeout: 10_000 });
    await lease.untilSafe(signal);
    await lease.close();
  });
});
