import { Client } from 'pg';
import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { createRegistry } from '../../src/tools/registry.ts';
import { defineTool } from '../../src/tools/tool.ts';
import { call, hang, say, sequence } from '../support/scripted-model/scripted-model.ts';
import { queueKinds, type Task, useWorld } from '../support/worker.ts';

const kinds = await queueKinds('stopping a worker on Redis');

describe.each(kinds)('a worker that stops, on $kind,', (kind) => {
  const world = useWorld(kind);
  const GRACE_MS = 400;

  const askedFor = ({ sessionId }: Task) =>
    world.model.waitForRequest((request) => request.sessionId === sessionId);
  const timed = async (act: Promise<unknown>) => {
    const began = performance.now();
    await act;
    return performance.now() - began;
  };
  const takeovers = async ({ taskId }: Task) =>
    (await world.db.sql`SELECT takeovers FROM turn WHERE task_id = ${taskId}`).map((row) => row.takeovers);

  test('hands a turn back in the middle of an answer, and another worker finishes it', async () => {
    const first = await world.startWorker();
    const task = await world.submit({
      script: ({ attempt }) => [say('Half an ans'), ...(attempt === 1 ? [hang()] : []), say('wer.')],
    });
    const request = await askedFor(task);
    // Well below the grace that a changing call would get.
    expect(await timed(first.stop())).toBeLessThan(4_500);
    expect(await world.attempts(task)).toEqual(['drained']);
    expect(await world.usage(task)).toEqual(['unknown']);
    await world.until('the connection closes', async () => request.outcome === 'abandoned');
    await world.startWorker();
    await world.model.waitForRequest(
      ({ sessionId, attempt }) => sessionId === task.sessionId && attempt === 2,
    );
    world.model.release();
    expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
    expect(await world.attempts(task)).toEqual(['drained', 'settled']);
    expect(await takeovers(task)).toEqual([0]);
  });

  test('lets a call that changes something end by itself within the grace', async () => {
    const [started, gate] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const slow = defineTool({
      name: 'bash',
      description: 'Takes its time.',
      parameters: z.object({}),
      effect: 'external',
      async execute() {
        started.resolve();
        await gate.promise;
        return { text: 'whole' };
      },
    });
    const first = await world.startWorker({ tools: createRegistry([slow]) });
    const task = await world.submit({ script: sequence([call('bash'), say('Done.')]) });
    await started.promise;
    const stopped = first.stop();
    gate.resolve();
    await stopped;
    expect(await world.calls(task)).toEqual(['bash succeeded']);
    await world.startWorker();
    expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
    expect(await world.attempts(task)).toEqual(['settled', 'settled']);
  });

  test('interrupts it after the grace, and the model is told', async () => {
    const first = await world.startWorker({ drainGraceMs: GRACE_MS });
    const task = await world.submit({ script: sequence([call('endless_change'), say('I see.')]) });
    await world.hears('started endless_change');
    const ms = await timed(first.stop());
    expect(ms).toBeGreaterThanOrEqual(GRACE_MS - 5);
    expect(ms).toBeLessThan(GRACE_MS + 4_500);
    await world.startWorker();
    expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
    expect(world.model.requestsOf(task.sessionId)[1]?.lastToolResults[0]?.text).toBe(
      'stopped early\n[interrupted: the worker that ran it was stopped; it was not run again]',
    );
    expect(world.noted(task)).toEqual(['endless_change']);
    expect(await takeovers(task)).toEqual([0, 0]);
  });

  test('keeps what was finished, and leaves what reads to be run again', async () => {
    const first = await world.startWorker();
    let tries = 0;
    const task = await world.submit({
      script: ({ answers }) =>
        answers === 0 ? [call('note', { text: 'once' }), call('endless_read')] : say('Done.'),
    });
    await world.hears('started endless_read');
    await first.stop();
    expect(await world.calls(task)).toEqual(['note succeeded', 'endless_read requested']);
    const quick = defineTool({
      name: 'endless_read',
      description: 'Ends here.',
      parameters: z.object({}),
      effect: 'read',
      execute: async () => ({ text: `ended at try ${++tries}` }),
    });
    await world.startWorker({ tools: createRegistry([quick]) });
    expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
    expect(world.noted(task)).toEqual(['once', 'endless_read']);
    const results = world.model.requestsOf(task.sessionId)[1]?.lastToolResults;
    expect(results?.map((result) => result.text)).toEqual(['noted once', 'ended at try 1']);
  });

  test('hands back a turn that it claimed as it began to stop, and asks nothing', async () => {
    const task = await world.submit();
    const locker = new Client(world.url);
    await locker.connect();
    // A claim passes this lock, the reading of what it claimed does not.
    await locker.query('BEGIN; LOCK TABLE profile IN ACCESS EXCLUSIVE MODE');
    const worker = await world.startWorker();
    await world.taskIs(task, { status: 'running' });
    const stopped = worker.stop();
    await locker.query('COMMIT');
    await locker.end();
    await stopped;
    expect(await world.attempts(task)).toEqual(['drained']);
    expect(world.model.requestsOf(task.sessionId)).toEqual([]);
    expect(await world.usage(task)).toEqual([]);
    await world.startWorker();
    expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
  });

  test('ends a task that was cancelled meanwhile', async () => {
    const worker = await world.startWorker({ drainGraceMs: 60_000 });
    const task = await world.submit({ script: () => call('endless_change') });
    await world.hears('started endless_change');
    const stopped = worker.stop();
    await world.cancel(task);
    await stopped;
    expect(await world.task(task.taskId)).toMatchObject({ status: 'cancelled' });
    expect(await world.calls(task)).toEqual(['endless_change interrupted']);
  });

  test('may be stopped twice, and idle', async () => {
    const worker = await world.startWorker();
    await Promise.all([worker.stop(), worker.stop()]);
    const [row] = await world.db
      .sql`SELECT ended_at IS NOT NULL AS ended FROM worker WHERE id = ${worker.id}`;
    expect(row).toEqual({ ended: true });
  });
});
