import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { toPublicId } from '../../src/core/id.ts';
import {
  call,
  error,
  type ScriptedRequest,
  say,
  sequence,
} from '../support/scripted-model/scripted-model.ts';
import { type Task, useWorld } from '../support/worker.ts';

const LIMITS = { children: 12, concurrentChildren: 3, depth: 1 };
const delegate = (prompt: string, more: object = {}) =>
  call('delegate_task', { prompt, agent: 'helper', ...more });

/** What a child was asked: its own words, and nothing of its parent's. */
const asked = ({ messages }: ScriptedRequest) =>
  messages.map((each) => ('text' in each ? each.text : '')).join('\n');

describe('a task that is delegated', () => {
  const world = useWorld({ kind: 'postgres' });
  const results = ({ sessionId }: Pick<Task, 'sessionId'>) =>
    world.model
      .requestsOf(sessionId)
      .at(-1)
      ?.lastToolResults.map(({ text }) => text) ?? [];

  test('is done by agents of their own, side by side, and their files and reports come back', async () => {
    await world.startWorker();
    const task = await world.submit({
      limits: LIMITS,
      script: sequence([
        call('note', { text: 'before' }),
        [delegate('Write a.', { title: 'the a' }), delegate('Write b.')],
        say('All is done.'),
      ]),
      delegates: {
        helper: {
          script: (request) => {
            const name = asked(request).includes('Write a.') ? 'a' : 'b';
            return request.answers === 0
              ? call('write_file', { path: `${name}.txt`, content: name })
              : say(`Wrote ${name}.`);
          },
        },
      },
    });
    expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
    const children = await world.children(task);
    expect(children).toMatchObject([
      { title: 'the a', status: 'succeeded', delegation: 'ended', hasSlot: false, depth: 1 },
      { title: 'Write b.', status: 'succeeded', delegation: 'ended', hasSlot: false, depth: 1 },
    ]);
    expect([world.read(task, 'notes'), world.read(task, 'a.txt'), world.read(task, 'b.txt')]).toEqual([
      'before\n',
      'a',
      'b',
    ]);
    const [a = '', b = ''] = results(task);
    expect(a).toMatch(/^Wrote a\.\n\n<execution_summary>\n/);
    expect(a).toContain(`<session_id>${toPublicId('session', children[0]?.sessionId ?? '')}</session_id>`);
    expect(a).toContain('<status>completed</status>');
    expect(a).toContain('<modified count="1">a.txt</modified>');
    expect(a).toContain('    write_file: 1x\n');
    expect(a).toContain('Its changes to one file were merged into yours');
    expect(b).toContain('<modified count="1">b.txt</modified>');
    expect(await world.attempts(task)).toEqual(['settled', 'parked', 'settled', 'settled']);
    const first = world.model.requestsOf(children[0]?.sessionId ?? '')[0];
    expect(first && asked(first)).not.toContain('Go.');
    expect(first?.system).toMatch(/^You are helper/);
    expect(first?.tools).not.toContain('delegate_task');
  });

  test('waits for a slot, and twelve of them are worked off by one worker that takes one turn at a time', async () => {
    await world.startWorker({ concurrency: 1 });
    const prompts = Array.from({ length: 12 }, (_, index) => `Do ${index}.`);
    const task = await world.submit({
      limits: LIMITS,
      script: sequence([prompts.map((prompt) => delegate(prompt)), say('All is done.')]),
      delegates: { helper: { script: sequence([call('look', { text: 'x' }), say('Looked.')]) } },
    });
    expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
    const children = await world.children(task);
    expect(children.map(({ status }) => status)).toEqual(prompts.map(() => 'succeeded'));
    expect(results(task)).toHaveLength(12);
  });

  test('is refused where the task has as many as it may, and its model is told so', async () => {
    await world.startWorker();
    const task = await world.submit({
      limits: { ...LIMITS, children: 2 },
      script: sequence([
        ['one', 'two', 'three'].map((prompt) => delegate(prompt)),
        delegate('four'),
        say('Enough.'),
      ]),
      delegates: { helper: { script: () => say('Yes.') } },
    });
    expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
    expect(await world.children(task)).toHaveLength(2);
    const [, second] = world.model.requestsOf(task.sessionId);
    expect(second?.lastToolResults.map(({ text }) => text.split('\n')[0])).toEqual([
      'Yes.',
      'Yes.',
      'Child agent failed: nothing more can be delegated: the 2 agents that the task may have, with all that they delegate, have been.',
    ]);
    expect(second?.lastToolResults[2]?.text).toContain('Category: limit\n');
    expect(results(task)[0]).toContain('Category: limit\n');
  });

  test('that fails is reported with what it did, and its changes are kept until they are asked for', async () => {
    await world.startWorker();
    const task = await world.submit({
      limits: LIMITS,
      script: (request) => {
        if (request.answers === 0) return delegate('Write, then fail.');
        const report = request.lastToolResults[0]?.text ?? '';
        if (request.answers === 1) return call('merge_child', { child: /ses_\w+/.exec(report)?.[0] });
        return say('Taken over.');
      },
      delegates: {
        helper: {
          script: sequence([call('write_file', { path: 'half.txt', content: 'half' }), error(400)]),
        },
      },
    });
    expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
    const report = world.model.requestsOf(task.sessionId)[1]?.lastToolResults[0]?.text ?? '';
    expect(report).toMatch(/^Child agent failed: .*scripted error 400\.\n/);
    expect(report).toContain('\nCategory: partial_success\n');
    expect(report).toContain('✓ write_file: half.txt');
    expect(report).toContain('is kept and not merged: call merge_child with ses_');
    expect(results(task)).toEqual([
      'Its changes to one file were merged into yours: read a file again before you go on with it.',
    ]);
    expect(world.read(task, 'half.txt')).toBe('half');
  });

  test('in a person’s own directory is asked about in mode safe, like whatever else changes it', async () => {
    await world.startWorker();
    const task = await world.submit({
      ...{ local: true, mode: 'safe', limits: LIMITS },
      script: sequence([
        [
          delegate('Read it.', { isolation: 'shared' }),
          call('delegate_task', { prompt: 'Change it.', agent: 'helper' }),
        ],
        say('Done.'),
      ]),
      delegates: { helper: { script: () => say('Yes.') } },
    });
    const [asked = ''] = await world.until('it asks', async () => {
      const open = await world.approvals(task);
      return open.length === 1 && (await world.task(task.taskId)).status === 'waiting' && open;
    });
    await world.until('the one that reads has ended', async () => {
      const [only, ...more] = await world.children(task);
      return more.length === 0 && only?.title === 'Read it.' && only.status === 'succeeded';
    });
    await world.answer(asked, 'denied', { message: 'Not mine.' });
    expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
    expect(results(task)[1]).toBe('Denied: Not mine.');
    expect(await world.children(task)).toHaveLength(1);
  });

  test('in a person’s own directory is merged into it, and a conflict is told with both sides', async () => {
    await world.startWorker();
    const task = await world.submit({
      local: true,
      limits: LIMITS,
      script: sequence([
        call('write_file', { path: 'a.txt', content: 'one\n' }),
        [delegate('The LEFT side.'), delegate('The RIGHT side.')],
        say('Settled.'),
      ]),
      delegates: {
        helper: {
          script: (request) => {
            const side = asked(request).includes('LEFT') ? 'left' : 'right';
            if (request.answers === 0) return call('read_file', { path: 'a.txt' });
            return request.answers === 1
              ? call('edit_file', { path: 'a.txt', old_string: 'one', new_string: side })
              : say(side);
          },
        },
      },
    });
    writeFileSync(join(task.root, 'mine.txt'), 'mine');
    expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
    const [left = '', right = ''] = results(task);
    expect(left).toContain('merged into yours');
    expect(right).toContain('a.txt (both versions stand in the file, between conflict marks)');
    expect(world.read(task, 'a.txt')).toMatch(/<<<<<<<[\s\S]*left[\s\S]*=======[\s\S]*right[\s\S]*>>>>>>>/);
    expect(world.read(task, 'mine.txt')).toBe('mine');
  });
});
