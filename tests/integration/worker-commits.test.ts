import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, test, vi } from 'vitest';
import { z } from 'zod';
import { createRegistry } from '../../src/tools/registry.ts';
import { defineTool } from '../../src/tools/tool.ts';
import { READS_AT_ONCE } from '../../src/worker/run-tools.ts';
import { atMost } from '../../src/worker/slots.ts';
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
    await vi.waitFor(async () => expect(await commitsOf(task)).toHaveLength(2), 10_000);
    reading.resolve();
    await world.taskEnds(task);
    expect(read).toEqual(['a', 'b']);
    expect(await commitsOf(task)).toEqual([
      'turn.started',
      answer(`${asked} ${asked}`),
      `${done} ${done} turn.completed`,
    ]);
  });

  test.each([1, 0])(
    'are three with more reads than run at the same time, grace %i ms; each runs once, in order',
    async (readGraceMs) => {
      const gate = Promise.withResolvers<void>();
      const full = Promise.withResolvers<void>();
      const read: string[] = [];
      let running = 0;
      let most = 0;
      const gated = defineTool({
        name: 'gated',
        description: 'Reads when the gate is open.',
        parameters: z.object({ text: z.string() }),
        effect: 'read',
        async execute({ text }) {
          read.push(text);
          running += 1;
          most = Math.max(most, running);
          if (running === READS_AT_ONCE) full.resolve();
          await gate.promise;
          running -= 1;
          return { text };
        },
      });
      await world.startWorker({ tools: createRegistry([gated]), readGraceMs });
      const texts = Array.from({ length: 3 * READS_AT_ONCE + 1 }, (_, index) => `read ${index}`);
      const reads = texts.map((text) => call('gated', { text }));
      const task = await world.submit({ script: sequence([reads, say('Done.')]), tools: ['gated'] });
      await full.promise;
      await vi.waitFor(async () => expect(await commitsOf(task)).toHaveLength(2), 10_000);
      expect(read).toEqual(texts.slice(0, READS_AT_ONCE));
      gate.resolve();
      await world.taskEnds(task);
      expect(read).toEqual(texts);
      expect(most).toBe(READS_AT_ONCE);
      const results = await world.db.sql<{ text: string }>`
        SELECT parts #>> '{0,text}' AS text FROM entry
         WHERE session_id = ${task.sessionId} AND kind = 'tool_result' ORDER BY position`;
      expect(results.map((row) => row.text)).toEqual(texts);
    },
  );

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
      answer(asked),
      `${done} workspace.snapshotted turn.completed`,
    ]);
  });

  test('are three with one call whose effect is not in files that are recorded, which is committed as started', async () => {
    await world.startWorker();
    const task = await world.submit({ script: sequence([call('tell', { text: 'x' }), say('Done.')]) });
    await world.taskEnds(task);
    expect(await commitsOf(task)).toEqual([
      'turn.started',
      answer(`${asked} ${started}`),
      `${done} turn.completed`,
    ]);
  });

  // What is quick is for the machine to say, and it may be busy once.
  test('are three with any number of quick calls that change recorded files', { retry: 3 }, async () => {
    await world.startWorker();
    // The first snapshot takes a thread's start.
    await world.taskEnds(
      await world.submit({ script: sequence([call('note', { text: 'x' }), say('Done.')]) }),
    );
    const notes = ['a', 'b', 'c'].map((text) => call('note', { text }));
    const task = await world.submit({ script: sequence([notes, say('Done.')]) });
    await world.taskEnds(task);
    const each = <T>(item: T) => notes.map(() => item).join(' ');
    expect(await commitsOf(task)).toEqual([
      'turn.started',
      answer(each(asked)),
      `${each(done)} ${each('workspace.snapshotted')} turn.completed`,
    ]);
    expect(world.notes(task)).toEqual(['a', 'b', 'c']);
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

test('an act that fails gives its slot to the one that waits longest', async () => {
  const slot = atMost(1);
  const began: number[] = [];
  const acts = [1, 2, 3].map((number) =>
    slot(async () => {
      began.push(number);
      if (number === 1) throw new Error('broken');
      return number;
    }),
  );
  expect(began).toEqual([1]);
  expect(await Promise.allSettled(acts)).toEqual([
    { status: 'rejected', reason: new Error('broken') },
    { status: 'fulfilled', value: 2 },
    { status: 'fulfilled', value: 3 },
  ]);
  expect(began).toEqual([1, 2, 3]);
  expect(await slot(async () => 4)).toBe(4);
});
