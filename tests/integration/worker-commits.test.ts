import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, test, vi } from 'vitest';
import { z } from 'zod';
import { createRegistry } from '../../src/tools/registry.ts';
import { defineTool } from '../../src/tools/tool.ts';
import { call, say, sequence } from '../support/scripted-model/scripted-model.ts';
import { type Task, useWorld } from '../support/worker.ts';
import { workerTools } from '../support/worker-tools.ts';

describe('the commits of a turn', () => {
  const world = useWorld({ kind: 'postgres' });

  /** Every transition writes an event and events are never changed, so their transactions are the turn's commits. */
  async function commitsOf({ taskId }: Task): Promise<string[]> {
    const rows = await world.db.sql<{ types: string }>`
      SELECT string_agg(type, ' ' ORDER BY seq) AS types FROM event
       WHERE task_id = ${taskId} AND turn = 1 GROUP BY xmin::text ORDER BY min(seq)`;
    return rows.map((row) => row.types);
  }

  const done = 'tool.completed';
  const [asked, started] = ['tool.requested', 'tool.started'];
  const answer = (calls: string) => `message.completed usage.recorded ${calls}`;

  test('are two with quick calls that read', async () => {
    await world.startWorker({ readGraceMs: 60_000 });
    const looks = ['a', 'b', 'c'].map((text) => call('look', { text }));
    const task = await world.submit({ script: sequence([looks, say('Done.')]) });
    await world.taskEnds(task);
    expect(await commitsOf(task)).toEqual([
      'turn.started',
      `${answer(`${asked} ${asked} ${asked}`)} ${done} ${done} ${done} turn.completed`,
    ]);
  });

  test('are two without calls', async () => {
    await world.startWorker();
    const task = await world.submit({ script: sequence([say('Done.')]) });
    await world.taskEnds(task);
    expect(await commitsOf(task)).toEqual([
      'turn.started',
      'message.completed usage.recorded turn.completed',
    ]);
  });

  test('are three with calls that read longer than the grace, none of which runs twice', async () => {
    const reading = Promise.withResolvers<void>();
    const read: string[] = [];
    const slow = defineTool({
      name: 'slow',
      description: 'Reads until the answer is committed.',
      parameters: z.object({ text: z.string() }),
      effect: 'read',
      async execute({ text }) {
        read.push(text);
        await reading.promise;
        return { text };
      },
    });
    await world.startWorker({ tools: createRegistry([slow]), readGraceMs: 1 });
    const looks = ['a', 'b'].map((text) => call('slow', { text }));
    const task = await world.submit({ script: sequence([looks, say('Done.')]), tools: ['slow'] });
    await vi.waitFor(async () => expect(await commitsOf(task)).toHaveLength(2));
    reading.resolve();
    await world.taskEnds(task);
    expect(read).toEqual(['a', 'b']);
    expect(await commitsOf(task)).toEqual([
      'turn.started',
      answer(`${asked} ${asked}`),
      `${done} ${done} turn.completed`,
    ]);
  });

  test('are three where that is turned off', async () => {
    await world.startWorker({ readGraceMs: 0 });
    const looks = ['a', 'b', 'c'].map((text) => call('look', { text }));
    const task = await world.submit({ script: sequence([looks, say('Done.')]) });
    await world.taskEnds(task);
    expect(await commitsOf(task)).toEqual([
      'turn.started',
      answer(`${asked} ${asked} ${asked}`),
      `${done} ${done} ${done} turn.completed`,
    ]);
  });

  test('are three with one quick call that changes something', async () => {
    await world.startWorker();
    const task = await world.submit({ script: sequence([call('note', { text: 'x' }), say('Done.')]) });
    await world.taskEnds(task);
    expect(await commitsOf(task)).toEqual([
      'turn.started',
      answer(`${asked} ${started}`),
      `${done} turn.completed`,
    ]);
  });

  test('are one more for each later call that changes something, which is committed before it begins', async () => {
    const statuses: unknown[] = [];
    const note = defineTool({
      name: 'note',
      description: 'Looks at its own row.',
      parameters: z.object({ n: z.int() }),
      effect: 'external',
      async execute({ n }) {
        const rows = await world.db.sql`SELECT ordinal, status FROM tool_call WHERE call_id LIKE 'mine%'
          ORDER BY ordinal`;
        statuses.push(rows.map((row) => row.status));
        return { text: String(n) };
      },
    });
    await world.startWorker({ tools: createRegistry([note]) });
    const notes = [0, 1].map((n) => call('note', { n }, `mine${n}`));
    const task = await world.submit({ script: sequence([notes, say('Done.')]) });
    await world.taskEnds(task);
    expect(statuses).toEqual([
      ['started', 'requested'],
      ['succeeded', 'started'],
    ]);
    expect(await commitsOf(task)).toEqual([
      'turn.started',
      answer(`${asked} ${asked} ${started}`),
      `${done} ${started}`,
      `${done} turn.completed`,
    ]);
  });

  test('are one more where results would wait longer than a quarter of a second', async () => {
    const slow = defineTool({
      name: 'slow',
      description: 'Reads for a while.',
      parameters: z.object({}),
      effect: 'read',
      // Time itself is what is tested: it counts from when the first result began to wait.
      execute: async () => ({ text: String(await delay(300)) }),
    });
    const tools = workerTools(() => {}).filter((tool) => ['look', 'note'].includes(tool.name));
    await world.startWorker({ tools: createRegistry([...tools, slow]) });
    // A denied call ends the group: what follows is another.
    const calls = [call('look', { text: 'a' }), call('note', { text: 'b' }), call('slow')];
    const script = sequence([calls, say('Done.')]);
    const task = await world.submit({ script, mode: 'plan', tools: ['look', 'note', 'slow'] });
    await world.taskEnds(task);
    expect(await world.calls(task)).toEqual(['look succeeded', 'note denied', 'slow succeeded']);
    expect((await commitsOf(task)).slice(1)).toEqual([
      answer(`${asked} ${asked} ${asked}`),
      `${done} ${done} ${done}`,
      'turn.completed',
    ]);
  });
});
