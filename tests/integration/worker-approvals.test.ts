import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { createRegistry } from '../../src/tools/registry.ts';
import { defineTool } from '../../src/tools/tool.ts';
import { call, say, sequence } from '../support/scripted-model/scripted-model.ts';
import { type Task, useWorld } from '../support/worker.ts';
import { workerTools } from '../support/worker-tools.ts';

describe('a call that a person must allow', () => {
  const world = useWorld({ kind: 'postgres' });
  const note = (text: string) => call('note', { text });
  const safe = (...calls: ReturnType<typeof call>[]) =>
    ({ mode: 'safe', script: sequence([calls, say('Done.')]) }) as const;
  const results = ({ sessionId }: Task) =>
    world.model.requestsOf(sessionId)[1]?.lastToolResults.map((result) => result.text);
  const asks = (task: Task, count: number) =>
    world.until('it asks', async () => {
      const ids = await world.approvals(task);
      return ids.length === count && (await world.task(task.taskId)).status === 'waiting' && ids;
    });

  test('parks its turn, which holds no slot, and runs once it is allowed', async () => {
    await world.startWorker({ concurrency: 1 });
    const task = await world.submit(safe(note('x')));
    const [approval = ''] = await asks(task, 1);
    expect(await world.task(task.taskId)).toMatchObject({ status: 'waiting', waiting_on: 'approval' });
    expect(await world.taskEnds(await world.submit())).toMatchObject({ status: 'succeeded' });
    expect(world.noted(task)).toEqual([]);
    await world.answer(approval, 'allowed');
    expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
    expect(world.noted(task)).toEqual(['x']);
    expect(await world.attempts(task)).toEqual(['parked', 'settled', 'settled']);
    expect(world.model.requestsOf(task.sessionId)).toHaveLength(2);
  });

  test('is not run where it is denied, and the model hears why', async () => {
    await world.startWorker();
    const task = await world.submit(safe(note('x')));
    const [approval = ''] = await asks(task, 1);
    await world.answer(approval, 'denied', 'Not on a Friday.');
    expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
    expect([world.noted(task), results(task)]).toEqual([[], ['Denied: Not on a Friday.']]);
  });

  test('waits until all of them are answered, whatever the order', async () => {
    await world.startWorker();
    const task = await world.submit(safe(call('look', { text: 'r' }), note('a'), note('b'), note('c')));
    const [a = '', b = '', c = ''] = await asks(task, 3);
    await world.answer(c, 'allowed');
    await world.answer(b, 'denied');
    expect(await world.task(task.taskId)).toMatchObject({ status: 'waiting' });
    await world.answer(a, 'allowed');
    expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
    expect(world.noted(task)).toEqual(['a', 'c']);
    expect(results(task)).toEqual(['r', 'noted a', 'Denied: a person said no to this call.', 'noted c']);
  });

  test('may be answered while its turn still runs', async () => {
    const [started, gate] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const slow = defineTool({
      name: 'look',
      description: 'Reads until the gate opens.',
      parameters: z.object({}),
      effect: 'read',
      async execute() {
        started.resolve();
        await gate.promise;
        return { text: 'seen' };
      },
    });
    const tools = workerTools(() => {}).filter((tool) => tool.name === 'note');
    await world.startWorker({ tools: createRegistry([...tools, slow]) });
    const task = await world.submit(safe(call('look'), note('a'), note('b')));
    await started.promise;
    const [a = '', b = ''] = await world.approvals(task);
    await world.answer(a, 'allowed');
    await world.answer(b, 'denied', 'Enough.');
    gate.resolve();
    expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
    expect(results(task)).toEqual(['seen', 'noted a', 'Denied: Enough.']);
    expect(await world.attempts(task)).toEqual(['settled', 'settled']);
  });

  test('is closed when its task is cancelled', async () => {
    await world.startWorker();
    const task = await world.submit(safe(note('x')));
    const [approval = ''] = await asks(task, 1);
    expect(await world.cancel(task)).toBeLessThan(1_000);
    await world.answer(approval, 'allowed');
    expect(await world.task(task.taskId)).toMatchObject({ status: 'cancelled' });
    expect(await world.calls(task)).toEqual(['note interrupted']);
    expect(world.noted(task)).toEqual([]);
  });

  test('waits through the end of its worker', async () => {
    const first = await world.startWorker();
    const task = await world.submit(safe(note('x')));
    const [approval = ''] = await asks(task, 1);
    await first.stop();
    await world.answer(approval, 'allowed');
    await world.startWorker();
    expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
    expect(world.noted(task)).toEqual(['x']);
  });

  test('is denied in plan mode without a question, and reading is not', async () => {
    await world.startWorker();
    const script = sequence([[call('look', { text: 'r' }), note('x')], say('Planned.')]);
    const task = await world.submit({ mode: 'plan', script });
    expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
    expect(results(task)).toEqual(['r', expect.stringMatching(/^Denied: This task runs in plan mode/)]);
    expect(world.noted(task)).toEqual([]);
  });
});
