import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import type { Bus } from '../../src/bus/bus.ts';
import { createRegistry } from '../../src/tools/registry.ts';
import { defineTool } from '../../src/tools/tool.ts';
import { OBEY_MS, READS_AT_ONCE } from '../../src/worker/run-tools.ts';
import { call, error, hang, say, sequence } from '../support/scripted-model/scripted-model.ts';
import { queueKinds, type Task, useWorld } from '../support/worker.ts';

const kinds = await queueKinds('cancelling a task on Redis');

/** From the request to the task's end, on a busy machine; nothing that is cancelled here would end by itself. */
const AT_ONCE_MS = 5_000;

describe.each(kinds)('a cancelled task on $kind', (kind) => {
  const world = useWorld(kind);
  const askedFor = ({ sessionId }: Task, turn = 1) =>
    world.model.waitForRequest((request) => request.sessionId === sessionId && request.turn === turn);

  async function expectCancelled(task: Task, ms: number): Promise<void> {
    expect(ms).toBeLessThan(AT_ONCE_MS);
    expect(await world.task(task.taskId)).toMatchObject({ status: 'cancelled', error_code: null });
  }

  test.each([
    ['before the first word of the answer', [hang(), say('Late.')]],
    ['in the middle of the answer', [say('Half an ans'), hang(), say('wer.')]],
  ])('stops the model %s, and closes its connection', async (_, step) => {
    await world.startWorker();
    const task = await world.submit({ script: () => step });
    const request = await askedFor(task);
    await expectCancelled(task, await world.cancel(task));
    await world.until('the connection closes', async () => request.outcome === 'abandoned');
    expect((await world.entries(task)).map((entry) => entry.kind)).toEqual(['user']);
    expect(await world.attempts(task)).toEqual(['cancelled']);
  });

  test('stops a command with all it started, and says so in the log', async () => {
    await world.startWorker();
    const command = 'echo before; sleep 98761 & sleep 98761';
    const task = await world.submit({ script: () => call('bash', { command }) });
    await world.until('the command runs', async () => processesOf('98761').length === 2);
    await expectCancelled(task, await world.cancel(task));
    expect(processesOf('98761')).toEqual([]);
    expect((await world.entries(task)).at(-1)).toMatchObject({
      kind: 'tool_result',
      status: 'interrupted',
      parts: [{ text: expect.stringMatching(/^before\n.*\n\[interrupted: the task was cancelled\]$/s) }],
    });
  });

  test('stops calls that read, and does not begin what was asked for after them', async () => {
    await world.startWorker();
    const calls = [call('endless_read'), call('note', { text: 'late' })];
    const task = await world.submit({ script: () => calls });
    await world.hears('started endless_read');
    await expectCancelled(task, await world.cancel(task));
    expect(await world.calls(task)).toEqual(['endless_read interrupted', 'note interrupted']);
    expect(world.noted(task)).toEqual(['endless_read']);
  });

  test('begins no read that waited for others to end', async () => {
    await world.startWorker();
    const calls = Array.from({ length: READS_AT_ONCE + 2 }, () => call('endless_read'));
    const task = await world.submit({ script: () => calls });
    await world.until('as many run as may', async () => world.noted(task).length === READS_AT_ONCE);
    await expectCancelled(task, await world.cancel(task));
    expect(await world.calls(task)).toEqual(calls.map(() => 'endless_read interrupted'));
    expect(world.noted(task)).toHaveLength(READS_AT_ONCE);
  });

  test('does not wait for a tool that does not stop', async () => {
    const started = Promise.withResolvers<void>();
    const deaf = defineTool({
      name: 'bash',
      description: 'Hears nothing.',
      parameters: z.object({}),
      effect: 'external',
      execute: () => {
        started.resolve();
        return new Promise(() => {});
      },
    });
    await world.startWorker({ tools: createRegistry([deaf]) });
    const task = await world.submit({ script: () => call('bash') });
    await started.promise;
    expect(await world.cancel(task)).toBeLessThan(OBEY_MS + AT_ONCE_MS);
    expect((await world.entries(task)).at(-1)?.parts).toEqual([
      {
        type: 'text',
        text: 'The tool did not stop when it was told to. It may still go on.\n[interrupted: the task was cancelled]',
      },
    ]);
  });

  test('ends while it is queued, and is never begun', async () => {
    const task = await world.submit();
    await expectCancelled(task, await world.cancel(task));
    await world.startWorker();
    const next = await world.submit();
    await world.taskEnds(next);
    expect(await world.attempts(task)).toEqual([]);
    expect(world.model.requestsOf(task.sessionId)).toEqual([]);
  });

  test('ends while it waits to try again', async () => {
    await world.startWorker({ retry: { tries: 3, firstMs: 60_000, longestMs: 60_000 } });
    const task = await world.submit({ script: () => error(500) });
    await world.taskIs(task, { status: 'waiting', waiting_on: 'retry' });
    await expectCancelled(task, await world.cancel(task));
    expect(world.model.requestsOf(task.sessionId)).toHaveLength(1);
  });

  test('lets the next task of its session begin', async () => {
    await world.startWorker();
    const task = await world.submit({ script: ({ answers }) => (answers === 0 ? hang() : say('Done.')) });
    await askedFor(task);
    const { sessionId } = task;
    const script = sequence([say('Next.')]);
    const next = await world.submit({ sessionId, prompt: 'And this?', script });
    await expectCancelled(task, await world.cancel(task));
    expect(await world.taskEnds(next)).toMatchObject({ status: 'succeeded' });
  });

  test('ends soon where the bus loses every message, too', async () => {
    const deaf: Bus = { publish() {}, subscribe: async () => async () => {}, close: async () => {} };
    await world.startWorker({ bus: deaf });
    const task = await world.submit({ script: () => [say('Half'), hang()] });
    await askedFor(task);
    expect(await world.cancel(task)).toBeLessThan(AT_ONCE_MS);
    expect(await world.task(task.taskId)).toMatchObject({ status: 'cancelled' });
  });

  test('ends at any moment of its turns, with nothing begun after', async () => {
    await world.startWorker();
    for (let round = 0; round < 8; round++) {
      const task = await world.submit({
        script: ({ answers }) => call('note', { text: String(answers) }),
        limits: { turns: 1_000 },
      });
      if (round > 0) await askedFor(task, round);
      await expectCancelled(task, await world.cancel(task));
      const noted = world.noted(task);
      expect(noted).toEqual(noted.map((_, n) => String(n)));
      const calls = await world.calls(task);
      expect(calls.filter((line) => line === 'note unknown')).toEqual([]);
      expect(calls.filter((line) => line === 'note succeeded').length).toBeLessThanOrEqual(noted.length);
    }
  });
});

/** Pids of processes whose command line has the word. */
function processesOf(word: string): string[] {
  return readdirSync('/proc').filter((pid) => {
    if (!/^\d+$/.test(pid)) return false;
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').includes(word);
    } catch {
      return false;
    }
  });
}
