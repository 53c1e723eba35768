import { describe, expect, test } from 'vitest';
import { pauseTask } from '../../src/store/tasks.ts';
import { createRegistry } from '../../src/tools/registry.ts';
import {
  call,
  hang,
  type ScriptedRequest,
  say,
  sequence,
  usage,
} from '../support/scripted-model/scripted-model.ts';
import { type Task, useWorld } from '../support/worker.ts';
import { workerTools } from '../support/worker-tools.ts';

const LIMITS = { children: 12, concurrentChildren: 3, depth: 1 };
const delegate = (prompt: string, more: object = {}) =>
  call('delegate_task', { prompt, agent: 'helper', ...more });
const said = ({ messages }: ScriptedRequest) => JSON.stringify(messages);

describe('a tree of delegated tasks', () => {
  const world = useWorld({ kind: 'postgres' });
  const results = ({ sessionId }: Pick<Task, 'sessionId'>, request = -1) =>
    world.model
      .requestsOf(sessionId)
      .at(request)
      ?.lastToolResults.map(({ text }) => text) ?? [];

  test('is cancelled as one: streams are broken off, and commands ended', async () => {
    await world.startWorker();
    const task = await world.submit({
      limits: LIMITS,
      script: sequence([[delegate('STREAM'), delegate('COMMAND'), delegate('WAIT'), delegate('SLOT')]]),
      delegates: {
        helper: {
          script: (request) => {
            if (said(request).includes('STREAM')) return [say('Half'), hang()];
            if (said(request).includes('WAIT') && request.answers === 0) return call('look', { text: 'x' });
            return said(request).includes('WAIT') ? [say('Half'), hang()] : call('endless_change');
          },
        },
      },
    });
    await world.hears('started endless_change');
    await world.taskIs(task, { status: 'waiting', waiting_on: 'children' });
    expect(await world.requestCancel(task)).toBe('cancelled');
    const ended = await world.until('all have ended', async () => {
      const children = await world.children(task);
      return children.every(({ status }) => status === 'cancelled') && children;
    });
    expect(ended.map(({ delegation }) => delegation)).toEqual(Array(4).fill('abandoned'));
  });

  test('is paused as one, whatever becomes of the word of it and of its worker, and goes on when it is resumed', async () => {
    const { teamId } = world;
    const lost = await world.startWorker();
    const task = await world.submit({
      limits: LIMITS,
      script: sequence([[delegate('STREAM'), delegate('ALSO')], say('Done.')]),
      delegates: {
        helper: { script: ({ attempt }) => (attempt === 1 ? [say('Half'), hang()] : say('Whole.')) },
      },
    });
    await world.taskIs(task, { status: 'waiting', waiting_on: 'children' });
    for (const { sessionId } of await world.children(task))
      await world.model.waitForRequest((request) => request.sessionId === sessionId);
    // Nobody tells the worker: it looks for itself, or stops, and a peer finds the mark.
    await pauseTask(world.db, { teamId, taskId: task.taskId });
    await lost.stop();
    await world.startWorker();
    await world.until('both are parked', async () => (await world.pausedBelow(task)) === 2);
    await world.resume(task);
    expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
    expect((await world.children(task)).map(({ status }) => status)).toEqual(['succeeded', 'succeeded']);
  });

  test('asks its people from each of twelve, and is worked off by one worker that takes one turn at a time', async () => {
    await world.startWorker({ concurrency: 1 });
    const prompts = Array.from({ length: 12 }, (_, index) => `Do ${index}.`);
    const task = await world.submit({
      mode: 'safe',
      limits: LIMITS,
      script: sequence([prompts.map((prompt) => delegate(prompt)), say('All is done.')]),
      delegates: {
        helper: {
          permissions: { rules: [{ decision: 'ask', tool: 'note' }] },
          script: sequence([call('note', { text: 'asked' }), say('Noted.')]),
        },
      },
    });
    for (let left = prompts.length; left > 0; left -= 1) {
      const [child, approval] = await world.until('a child asks', async () => {
        for (const each of await world.children(task)) {
          const [open] = each.waiting_on === 'approval' ? await world.approvals({ ...task, ...each }) : [];
          if (open !== undefined) return [each, open] as const;
        }
        return undefined;
      });
      await world.answer(approval, 'denied', { message: `Not ${child.title}` });
    }
    expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
    expect(results(task)).toHaveLength(12);
  });

  test('goes deeper where it may, each with what is its own', async () => {
    await world.startWorker({ concurrency: 1 });
    const task = await world.submit({
      limits: { ...LIMITS, concurrentChildren: 1, depth: 2 },
      script: sequence([delegate('Delegate it.', { agent: 'lead' }), say('All is done.')]),
      delegates: {
        lead: { script: sequence([[delegate('One.'), delegate('Two.')], say('Both are done.')]) },
        helper: { script: () => say('Done below.') },
      },
    });
    expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
    const [lead, one] = await world.children(task);
    expect((await world.children(task)).map(({ depth }) => depth)).toEqual([1, 2, 2]);
    expect(world.model.requestsOf(lead?.sessionId ?? '')[0]?.tools).toContain('delegate_task');
    expect(world.model.requestsOf(one?.sessionId ?? '')[0]?.tools).not.toContain('delegate_task');
    expect(results({ sessionId: lead?.sessionId ?? '' })[0]).toMatch(/^Done below\./);
  });

  test('has no lists but its root’s', async () => {
    const { tools } = createRegistry(workerTools(() => {}));
    expect(tools.map(({ name }) => name)).toContain('todo');
    await world.startWorker();
    const task = await world.submit({
      limits: LIMITS,
      script: sequence([delegate('Look.'), say('Done.')]),
      delegates: { helper: { script: () => say('Looked.') } },
    });
    await world.taskEnds(task);
    const [child] = await world.children(task);
    expect(world.model.requestsOf(task.sessionId)[0]?.tools).toContain('todo');
    expect(world.model.requestsOf(child?.sessionId ?? '')[0]?.tools).not.toContain('todo');
  });

  test('that spawns itself to ruin stops at its limits, having spent no more than it reserved', async () => {
    await world.startWorker();
    const spawning = ({ answers }: ScriptedRequest) => [
      ...Array.from({ length: 4 }, (_, index) => delegate(`Again, ${answers}.${index}`)),
      usage({ input: 10, output: 5 }),
    ];
    const task = await world.submit({
      limits: { ...LIMITS, children: 40, concurrentChildren: 8, depth: 8, tokens: 20_000, treeTurns: 60 },
      accounts: { answer: 100, prices: null },
      script: spawning,
      delegates: { helper: { script: spawning } },
    });
    const ended = await world.taskEnds(task);
    expect(ended.error_code).toMatch(/^(limit_|loop)/);
    await world.until('all have ended', async () =>
      (await world.children(task)).every(({ status }) =>
        ['succeeded', 'failed', 'cancelled'].includes(status),
      ),
    );
    const [tree] = await world.db.sql<{ turns: number; used: number; children: number }>`
      SELECT turns, tokens_used::int AS used, children FROM tree WHERE root_id = ${task.sessionId}`;
    expect(tree?.children).toBeLessThanOrEqual(40);
    expect(tree?.turns).toBeLessThanOrEqual(60);
    expect(tree?.used).toBeLessThanOrEqual(20_000);
  });
});

describe('one child', () => {
  const world = useWorld({ kind: 'postgres' });
  const results = ({ sessionId }: Pick<Task, 'sessionId'>, request = -1) =>
    world.model
      .requestsOf(sessionId)
      .at(request)
      ?.lastToolResults.map(({ text }) => text) ?? [];

  test('answers with JSON that fits, at the second try where the first does not', async () => {
    await world.startWorker();
    const resultSchema = { type: 'object', properties: { n: { type: 'integer' } }, required: ['n'] };
    const task = await world.submit({
      limits: LIMITS,
      script: sequence([
        [delegate('GOOD', { resultSchema }), delegate('BAD', { resultSchema })],
        say('Done.'),
      ]),
      delegates: {
        helper: {
          script: (request) => {
            if (said(request).includes('GOOD') && request.answers === 1)
              return say('```json\n{ "n": 7 }\n```');
            return say('It is seven.');
          },
        },
      },
    });
    expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
    const [good = '', bad = ''] = results(task);
    expect(good).toMatch(/^\{"n":7\}\n\n<execution_summary>/);
    expect(bad).toMatch(/^Child agent failed: The answer does not fit the schema/);
    expect(bad).toContain('Category: invalid_task\n');
    const [first] = await world.children(task);
    expect(world.model.requestsOf(first?.sessionId ?? '')).toHaveLength(2);
  });

  test('reads its parent’s own files where they are shared, and cannot change them', async () => {
    await world.startWorker();
    const task = await world.submit({
      limits: LIMITS,
      script: sequence([
        call('write_file', { path: 'a.txt', content: 'of the parent' }),
        delegate('Read it.', { isolation: 'shared' }),
        say('Done.'),
      ]),
      delegates: { helper: { script: sequence([call('read_file', { path: 'a.txt' }), say('Read.')]) } },
    });
    expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
    const [child] = await world.children(task);
    const [request, second] = world.model.requestsOf(child?.sessionId ?? '');
    expect(request?.tools).toContain('read_file');
    expect(request?.tools).not.toContain('write_file');
    expect(request?.tools).not.toContain('bash');
    expect(second?.lastToolResults[0]?.text).toContain('of the parent');
    expect(results(task)[0]).toContain('<read count="1">a.txt</read>');
  });

  test('goes on with what it knows, on its parent’s files of now', async () => {
    await world.startWorker();
    const id = (request: ScriptedRequest) =>
      /<session_id>(ses_\w+)/.exec(request.lastToolResults[0]?.text ?? '')?.[1];
    let first: string | undefined;
    const task = await world.submit({
      limits: { ...LIMITS, children: 1 },
      script: (request) => {
        if (request.answers === 0) return delegate('Write one.');
        if (request.answers === 1) first = id(request);
        if (request.answers === 1) return call('write_file', { path: 'two.txt', content: 'two' });
        return request.answers === 2 ? delegate('Read two.', { continue: first }) : say('Done.');
      },
      delegates: {
        helper: {
          script: ({ answers }) =>
            [
              call('write_file', { path: 'one.txt', content: 'one' }),
              say('Wrote.'),
              call('list_dir', { path: '.' }),
            ][answers] ?? say('Both are there.'),
        },
      },
    });
    expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
    const children = await world.children(task);
    expect(new Set(children.map(({ sessionId }) => sessionId)).size).toBe(1);
    const listed =
      world.model.requestsOf(children[0]?.sessionId ?? '').at(-1)?.lastToolResults[0]?.text ?? '';
    expect(listed).toContain('one.txt');
    expect(listed).toContain('two.txt');
    expect(results(task)[0]).toContain('It changed no files.');
  });

  test('that takes longer than it was given is ended, and reported as that', async () => {
    await world.startWorker();
    const task = await world.submit({
      limits: LIMITS,
      script: sequence([delegate('Go on for ever.', { timeout: 1 }), say('Done.')]),
      delegates: { helper: { script: () => call('endless_read') } },
    });
    expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
    expect(results(task)[0]).toContain('\nCategory: timeout\n');
  });

  test.each([
    [
      'an agent that there is not',
      { agent: 'nobody' },
      /^Error: agent: there is no "nobody" to delegate to; there are helper\.$/,
    ],
    ['a session that it did not delegate to', { continue: 'ses_1' }, /^Error: continue: there is no "ses_1"/],
    ['a schema that is none', { resultSchema: { type: 'nonsense' } }, /^Error: resultSchema cannot be used/],
    ['nothing', { prompt: ' ' }, /^Error: InvalidArguments: .*expected what is to be done/s],
    ['no time', { timeout: 0 }, /^Error: InvalidArguments: /],
    [
      'money whose worth nobody knows',
      { limits: { usd: 1 } },
      /^Error: limits\.usd: what env\/scripted costs is not known/,
    ],
  ])('is not begun for %s: its parent is told why', async (_what, more, told) => {
    await world.startWorker();
    const task = await world.submit({
      limits: LIMITS,
      script: sequence([call('delegate_task', { prompt: 'Do.', agent: 'helper', ...more }), say('Done.')]),
      delegates: { helper: {} },
    });
    expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
    expect(results(task)[0]).toMatch(told);
    expect(await world.children(task)).toEqual([]);
  });
});
