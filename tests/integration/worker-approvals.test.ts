import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { newId } from '../../src/clock.ts';
import type { Permissions } from '../../src/core/profile.ts';
import { createRegistry } from '../../src/tools/registry.ts';
import { defineTool } from '../../src/tools/tool.ts';
import { call, say, sequence } from '../support/scripted-model/scripted-model.ts';
import { type Task, useWorld } from '../support/worker.ts';
import { workerTools } from '../support/worker-tools.ts';

/** `safe` asks nothing of versioned files. */
const ASK_NOTES: Permissions = { rules: [{ decision: 'ask', tool: 'note' }] };

describe('a call that a person must allow', () => {
  const world = useWorld({ kind: 'postgres' });
  const note = (text: string) => call('note', { text });
  const safe = (...calls: ReturnType<typeof call>[]) =>
    ({ mode: 'safe', permissions: ASK_NOTES, script: sequence([calls, say('Done.')]) }) as const;
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
    await world.answer(approval, 'denied', { message: 'Not on a Friday.' });
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
    await world.answer(b, 'denied', { message: 'Enough.' });
    gate.resolve();
    expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
    expect(results(task)).toEqual(['seen', 'noted a', 'Denied: Enough.']);
    expect(await world.attempts(task)).toEqual(['settled', 'settled']);
  });

  test('is closed when its task is cancelled', async () => {
    await world.startWorker();
    const task = await world.submit(safe(note('x')));
    const [approval = ''] = await asks(task, 1);
    expect(await world.cancel(task)).toBeLessThan(5_000);
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

  test('is asked about once where a person allows it always, until that is taken back', async () => {
    await world.startWorker();
    const rm = { rules: [{ decision: 'ask', tool: 'bash' }] } as const;
    const runs = (command: string, sessionId?: string) => {
      const answers = [call('bash', { command })];
      const script = () => answers.pop() ?? say('Done.');
      const session = sessionId === undefined ? {} : { sessionId };
      return world.submit({ mode: 'safe', permissions: rm, script, ...session });
    };
    const task = await runs('echo a >> log');
    const [approval = ''] = await asks(task, 1);
    const ruleId = newId();
    await world.answer(approval, 'allowed', { ruleId });
    await world.taskEnds(task);
    await world.taskEnds(await runs('echo a >> log', task.sessionId));
    expect(world.read(task, 'log')).toBe('a\na\n');
    for (const other of [
      'echo a >> log ',
      'echo a  >> log',
      'echo b >> log',
      'echo a >> log; echo a >> log',
    ]) {
      const asking = await runs(other, task.sessionId);
      await asks(asking, 1);
      await world.cancel(asking);
    }
    const elsewhere = await runs('echo a >> log');
    await asks(elsewhere, 1);
    await world.cancel(elsewhere);
    await world.db
      .sql`UPDATE permission_rule SET revoked_at = now(), revoked_by = created_by WHERE id = ${ruleId}`;
    const asking = await runs('echo a >> log', task.sessionId);
    await asks(asking, 1);
    await world.cancel(asking);
    expect(world.read(task, 'log')).toBe('a\na\n');
  });

  test('may be one that merely reads, where a rule says so', async () => {
    await world.startWorker();
    const script = sequence([[call('look', { text: 'r' }), call('look', { text: 's' })], say('Done.')]);
    const permissions = { restrictions: [{ decision: 'ask', tool: 'look' }] } as const;
    const task = await world.submit({ mode: 'safe', permissions, script });
    const [first = '', second = ''] = await asks(task, 2);
    await world.answer(first, 'allowed');
    await world.answer(second, 'denied');
    expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
    expect(results(task)).toEqual(['r', 'Denied: a person said no to this call.']);
  });

  test('is denied where nobody answers in time, and the model hears it', async () => {
    await world.startWorker();
    const permissions = { ...ASK_NOTES, approvalSeconds: 1 };
    const task = await world.submit({ ...safe(note('x')), permissions });
    expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
    expect(results(task)).toEqual(['Denied: nobody answered within 1 seconds whether this call may run.']);
    expect(world.noted(task)).toEqual([]);
  });

  test('is judged by where its path leads, not by how it is written', async () => {
    await world.startWorker();
    const script = sequence([
      [
        call('bash', { command: 'mkdir secret && ln -s secret open' }),
        call('write_file', { path: 'open/../open/a', content: 'x' }),
        call('write_file', { path: 'plain', content: 'x' }),
      ],
      [
        call('write_file', { path: './open/a', content: 'x' }),
        call('read_file', { path: 'open/../secret/a' }),
      ],
      say('Done.'),
    ]);
    const deny = { rules: [{ decision: 'deny', tool: '*_file', pattern: 'secret/**' }] } as const;
    const task = await world.submit({ mode: 'auto', permissions: deny, script });
    await world.taskEnds(task);
    expect(world.model.requestsOf(task.sessionId)[2]?.lastToolResults.map(({ text }) => text)).toEqual(
      Array(2).fill('Denied: The rule *_file(secret/**) forbids it.'),
    );
    expect([world.read(task, 'plain'), world.read(task, 'secret/a')]).toEqual(['x', '']);
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
