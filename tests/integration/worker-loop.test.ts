import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { createRegistry } from '../../src/tools/registry.ts';
import { defineTool } from '../../src/tools/tool.ts';
import {
  call,
  type ScriptedRequest,
  say,
  sequence,
  stop,
  think,
  usage,
} from '../support/scripted-model/scripted-model.ts';
import { useWorld } from '../support/worker.ts';

describe('a task', () => {
  const world = useWorld({ kind: 'postgres' });

  const requestsOf = ({ sessionId }: { sessionId: string }) => world.model.requestsOf(sessionId);
  const resultsOf = (request: ScriptedRequest | undefined) =>
    request?.lastToolResults.map((result) => result.text);

  test('succeeds with the answer that asks for nothing more', async () => {
    await world.startWorker();
    const task = await world.submit({ prompt: 'Say hello.', script: sequence([say('Hello.')]) });
    expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded', result_position: 3 });
    expect((await world.entries(task)).map(({ kind, parts }) => [kind, parts])).toEqual([
      ['user', [{ type: 'text', text: 'Say hello.' }]],
      ['notice', [{ type: 'text', text: expect.stringContaining('Workspace root: ') }]],
      ['assistant', [{ type: 'text', text: 'Hello.' }]],
    ]);
    expect(await world.attempts(task)).toEqual(['settled']);
  });

  test('runs calls that read side by side, and gives their results in the order asked', async () => {
    let running = 0;
    const all = Promise.withResolvers<void>();
    const meet = defineTool({
      name: 'look',
      description: 'Ends when three run at once; the first asked ends last.',
      parameters: z.object({ text: z.string() }),
      effect: 'read',
      async execute({ text }) {
        running += 1;
        if (running === 3) all.resolve();
        await all.promise;
        if (text === 'a') await new Promise((resolve) => setImmediate(resolve));
        return { text };
      },
    });
    await world.startWorker({ tools: createRegistry([meet]) });
    const looks = ['a', 'b', 'c'].map((text) => call('look', { text }));
    const task = await world.submit({ script: sequence([looks, say('Met.')]) });
    expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
    expect(resultsOf(requestsOf(task)[1])).toEqual(['a', 'b', 'c']);
  });

  test('runs what changes something alone, in the order asked, after what was asked before it', async () => {
    const log: string[] = [];
    const tool = (name: string, effect: 'read' | 'workspace' | 'external') =>
      defineTool({
        name,
        description: 'Notes when it begins and ends.',
        parameters: z.object({ text: z.string() }),
        effect,
        async execute({ text }) {
          log.push(`+${text}`);
          for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
          log.push(`-${text}`);
          return { text };
        },
      });
    const tools = createRegistry([tool('look', 'read'), tool('note', 'workspace'), tool('bash', 'external')]);
    await world.startWorker({ tools });
    const calls = [
      ...['r1', 'r2'].map((text) => call('look', { text })),
      ...['w1', 'w2'].map((text) => call('note', { text })),
      ...['r3', 'r4'].map((text) => call('look', { text })),
      call('bash', { text: 'x1' }),
    ];
    const task = await world.submit({ script: sequence([calls, say('Done.')]) });
    await world.taskEnds(task);
    const together = (from: number) => log.slice(from, from + 4).sort();
    expect(log.slice(4, 8)).toEqual(['+w1', '-w1', '+w2', '-w2']);
    expect([together(0), together(8)]).toEqual([
      ['+r1', '+r2', '-r1', '-r2'],
      ['+r3', '+r4', '-r3', '-r4'],
    ]);
    expect(log.slice(12)).toEqual(['+x1', '-x1']);
    expect(resultsOf(requestsOf(task)[1])).toEqual(['r1', 'r2', 'w1', 'w2', 'r3', 'r4', 'x1']);
  });

  test('goes on after an unknown tool, arguments that are no JSON or do not fit, and a throw', async () => {
    await world.startWorker();
    const mistakes = [call('fly'), call('look', '{"text": '), call('look', { text: 7 }), call('boom')];
    const task = await world.submit({ script: sequence([mistakes, say('I see.')]) });
    expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
    expect(resultsOf(requestsOf(task)[1])).toEqual([
      expect.stringMatching(/^Error: UnknownTool: there is no tool 'fly'. The tools are: apply_patch, /),
      expect.stringMatching(/^Error: InvalidArguments: the arguments of 'look' are not valid JSON/),
      expect.stringMatching(/^Error: InvalidArguments: the arguments of 'look' do not fit/),
      'Error: TypeError: it went off',
    ]);
    expect(await world.calls(task)).toEqual(['fly failed', 'look failed', 'look failed', 'boom failed']);
  });

  test('has no tool that its profile does not name, though the worker knows it', async () => {
    await world.startWorker();
    const script = sequence([call('note', { text: 'forbidden' }), say('Pity.')]);
    const task = await world.submit({ tools: ['look'], script });
    expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
    const [first, second] = requestsOf(task);
    expect(first?.tools).toEqual(['look']);
    expect(resultsOf(second)).toEqual(["Error: UnknownTool: there is no tool 'note'. The tools are: look."]);
    expect(world.noted(task)).toEqual([]);
  });

  test('works on a real project with the built-in tools', async () => {
    await world.startWorker();
    const script = sequence([
      call('write_file', { path: 'a.txt', content: 'one\n' }),
      call('edit_file', { path: 'a.txt', old_string: 'one', new_string: 'two' }),
      call('bash', { command: 'cat a.txt; exit 3' }),
      say('Written.'),
    ]);
    const task = await world.submit({ script });
    expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
    expect(resultsOf(requestsOf(task)[3])).toEqual(['two\n(exit code 3)']);
    expect(readFileSync(join(task.root, 'a.txt'), 'utf8')).toBe('two\n');
  });

  test('fails at its turn limit, and not before', async () => {
    await world.startWorker();
    const steps = [call('look', { text: '1' }), call('look', { text: '2' }), say('Three.')];
    const within = await world.submit({ limits: { turns: 3 }, script: sequence(steps) });
    const beyond = await world.submit({ limits: { turns: 2 }, script: sequence(steps) });
    expect(await world.taskEnds(within)).toMatchObject({ status: 'succeeded' });
    expect(await world.taskEnds(beyond)).toMatchObject({
      status: 'failed',
      error_code: 'limit_turns',
      error_message:
        'The task used all of its 2 turns. Give the next one a higher limit with --limit turns=N.',
    });
    expect([requestsOf(within).length, requestsOf(beyond).length]).toEqual([3, 2]);
  });

  test('has 70 turns unless told otherwise', async () => {
    await world.startWorker();
    const until = (last: number) => (request: ScriptedRequest) =>
      request.answers < last - 1 ? call('look', { text: String(request.answers) }) : say('Done.');
    const within = await world.submit({ script: until(70) });
    const beyond = await world.submit({ script: until(71) });
    expect(await world.taskEnds(within)).toMatchObject({ status: 'succeeded' });
    expect(await world.taskEnds(beyond)).toMatchObject({ status: 'failed', error_code: 'limit_turns' });
    expect([requestsOf(within).length, requestsOf(beyond).length]).toEqual([70, 70]);
  });

  test.each([
    ['cut at its output limit', stop('length'), 'answer_truncated'],
    ['a refusal', stop('refusal'), 'refused'],
  ])('fails where the last answer is %s', async (_, reason, code) => {
    await world.startWorker();
    const task = await world.submit({ script: () => [say('I'), reason] });
    expect(await world.taskEnds(task)).toMatchObject({ status: 'failed', error_code: code });
  });

  test('does not run a call that an output limit has cut', async () => {
    await world.startWorker();
    const cut = [call('look', { text: 'x' }), call('bash', {}), stop('length')];
    const task = await world.submit({ script: sequence([cut, say('Done.')]) });
    expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
    expect(resultsOf(requestsOf(task)[1])).toEqual([
      ...['x', expect.stringContaining('reached its output limit before this call was complete')],
    ]);
  });

  test('records what each answer used, and sends reasoning back', async () => {
    await world.startWorker();
    const counts = { input: 1000, output: 20, cached: 900, reasoning: 5 };
    const script = sequence([[think('Hm.'), call('look', { text: 'x' }), usage(counts)], [say('Done.')]]);
    const task = await world.submit({ script });
    await world.taskEnds(task);
    const rows = await world.db.sql`
      SELECT outcome, model, input, output, cached, reasoning, latency_ms >= 0 AS timed FROM usage
       WHERE task_id = ${task.taskId} ORDER BY created_at`;
    expect(rows[0]).toEqual({ outcome: 'recorded', model: 'env/scripted', ...counts, timed: true });
    expect(rows).toHaveLength(2);
  });

  test('sends the same beginning each time, with one notice of the project in it', async () => {
    await world.startWorker();
    const looks = [1, 2, 3].map((n) => [say(`Look ${n}.`), call('look', { text: 'x'.repeat(n) })]);
    const first = await world.submit({ script: sequence([...looks, say('One.'), say('Two.')]) });
    await world.taskEnds(first);
    const { sessionId } = first;
    const second = await world.submit({ sessionId, prompt: 'And now?' });
    await world.taskEnds(second);
    const bodies = requestsOf(first).map(({ body }) => body.messages.map((m: unknown) => JSON.stringify(m)));
    expect(bodies).toHaveLength(5);
    for (const [index, messages] of bodies.slice(1).entries()) {
      expect(messages.slice(0, bodies[index].length)).toEqual(bodies[index]);
    }
    const notices = (await world.entries(first)).filter((entry) => entry.kind === 'notice');
    expect(notices).toHaveLength(1);
    expect(bodies.at(-1).filter((text: string) => text.includes('Workspace root: '))).toHaveLength(1);
  });

  test('shows the model the ends of a long output, and keeps it whole', async () => {
    await world.startWorker();
    const text = `begin${'.'.repeat(100_000)}end`;
    const task = await world.submit({ script: sequence([call('look', { text }), say('Long.')]) });
    await world.taskEnds(task);
    expect(resultsOf(requestsOf(task)[1])?.[0]).toMatch(/^begin\.+\n\[cut here: .*\]\n\.+end$/);
    const [row] = await world.db.sql<{ size: number }>`
      SELECT o.size FROM output o JOIN tool_call c ON c.output_hash = o.hash WHERE c.task_id = ${task.taskId}`;
    expect(row?.size).toBe(text.length);
  });

  test('reads a long output in pages, but not that of another tree', async () => {
    await world.startWorker();
    const text = `begin${'.'.repeat(100_000)}é end`;
    const first = await world.submit({
      script: (request) => {
        const [result] = request.lastToolResults;
        if (result === undefined) return call('look', { text });
        const [, id, offset] = /read_output shows them: id "(\w+)", offset (\d+)\]/.exec(result.text) ?? [];
        if (id === undefined) return say('Read.');
        return [
          call('read_output', { id, offset: Number(offset) }),
          call('read_output', { id, offset: 100_000 }),
        ];
      },
    });
    await world.taskEnds(first);
    const [middle, end] = resultsOf(requestsOf(first)[2]) ?? [];
    expect(middle).toMatch(/^\.{29500}\n\(characters 15000 to 44500 of out_\w+; go on with offset 44500\)$/);
    expect(end).toMatch(/^\.{5}é end\n\(characters 100000 to 100010 of out_\w+; this is its end\)$/);

    const [, id = ''] = /of (out_\w+);/.exec(end ?? '') ?? [];
    const second = await world.submit({ script: sequence([call('read_output', { id }), say('No.')]) });
    await world.taskEnds(second);
    expect(resultsOf(requestsOf(second)[1])?.[0]).toContain(`this session has no stored output '${id}'`);
  });

  test('says nothing of pages to an agent that has no tool to read them', async () => {
    await world.startWorker();
    const look = call('look', { text: '.'.repeat(100_000) });
    const task = await world.submit({ tools: ['look'], script: sequence([look, say('Long.')]) });
    await world.taskEnds(task);
    expect(resultsOf(requestsOf(task)[1])?.[0]).toMatch(/100000 characters, 1 lines\]/);
  });

  test('is refused an edit of a file that changed since it was read, and given it once it has read again', async () => {
    await world.startWorker();
    const edit = call('edit_file', { path: 'f', old_string: 'a', new_string: 'b' });
    const read = call('read_file', { path: 'f' });
    const steps = [
      call('write_file', { path: 'f', content: 'a\n' }),
      call('bash', { command: 'echo c >> f' }),
      edit,
      read,
      edit,
    ];
    const task = await world.submit({ script: sequence([...steps, say('Done.')]) });
    expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
    const results = requestsOf(task).map((request) => resultsOf(request)?.[0]);
    expect(results.slice(3)).toEqual([
      expect.stringContaining("Error: FileChanged: 'f' is not what it was when you read it"),
      '1\ta\n2\tc',
      'Edited f: 1 replacement, at line 1.',
    ]);
  });
});
