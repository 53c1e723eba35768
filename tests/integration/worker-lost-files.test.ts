/** Ignored files are in no snapshot: where they are lost the model is told so, once, and never where they are not. */
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { textOf } from '../../src/core/entry.ts';
import { MAX_IGNORED } from '../../src/workspace/snapshots/ignored-names.ts';
import { type Action, call, error, say } from '../support/scripted-model/scripted-model.ts';
import { type Task, useWorld } from '../support/worker.ts';

const LOST = /Gone since you last worked here: (.*)\. Make again/;
const MAKE = [
  call('write_file', { path: '.gitignore', content: 'cache\n*.log\n' }),
  call('bash', { command: 'mkdir cache && echo 1 > cache/x && echo 2 > a.log' }),
];

describe('ignored files', () => {
  // Which queue wakes a turn is nothing to its files.
  const world = useWorld({ kind: 'postgres' });

  /** A task in which the model makes them. */
  const begun = async (calls: readonly Action[] = MAKE, more: { path?: string } = {}) => {
    const script = ({ answers }: { answers: number }) => (answers === 0 ? calls : say('Made.'));
    const task = await world.submit({ ...more, script });
    expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
    return task;
  };

  /** The session's next task: these calls, if any, then a word. `fails`: its first request does. */
  const goesOn = async ({ sessionId }: Task, calls: readonly Action[] = [], fails = false) => {
    const before = (await world.entries({ sessionId } as Task)).filter(({ kind }) => kind === 'assistant');
    let failures = fails ? 1 : 0;
    const next = await world.submit({
      sessionId,
      script: ({ answers }) => {
        if (failures-- > 0) return error(500);
        return answers === before.length && calls.length > 0 ? calls : say('Done.');
      },
    });
    expect(await world.taskEnds(next)).toMatchObject({ status: 'succeeded' });
    return next;
  };

  const toldIn = (texts: readonly string[]) => texts.flatMap((text) => LOST.exec(text)?.[1] ?? []);
  /** What the log says was lost, each time that it does. */
  const told = async (task: Task) =>
    toldIn((await world.entries(task)).map(({ kind, parts }) => (kind === 'notice' ? textOf(parts) : '')));
  const removePlace = ({ root }: Task) => rmSync(join(root, '..'), { recursive: true });

  test('are told to be lost on another host, before the answer, and once however often that is tried', async () => {
    const sharedSnapshots = join(world.dir, 'shared');
    const first = await world.startWorker({ dataDir: join(world.dir, 'host-a'), sharedSnapshots });
    const task = await begun();
    await first.stop();
    const second = await world.startWorker({ dataDir: join(world.dir, 'host-b'), sharedSnapshots });
    await goesOn(task, [], true);
    const requests = world.model.requestsOf(task.sessionId).slice(2);
    expect(requests.map(({ messages }) => toldIn(messages.map(({ text }) => text)))).toEqual([
      ['a.log, cache/'],
      ['a.log, cache/'],
    ]);
    expect((await world.entries(task)).slice(-3).map(({ kind }) => kind)).toEqual([
      'user',
      'notice',
      'assistant',
    ]);
    await goesOn(task);
    expect(await told(task)).toEqual(['a.log, cache/']);
    await second.stop();
  });

  test('are told again where they were made again, and lost again', async () => {
    const worker = await world.startWorker();
    const task = await begun();
    removePlace(task);
    await goesOn(task, [call('bash', { command: 'mkdir cache' })]);
    expect(await told(task)).toEqual(['a.log, cache/']);
    removePlace(task);
    await goesOn(task);
    expect(await told(task)).toEqual(['a.log, cache/', 'cache/']);
    await worker.stop();
  });

  test('are not told of where they are still there, nor where the agent itself removed them', async () => {
    const first = await world.startWorker();
    const task = await begun();
    await first.stop();
    await world.startWorker();
    await goesOn(task, [call('bash', { command: 'rm -r cache' })]);
    await goesOn(task);
    expect(await told(task)).toEqual([]);
    removePlace(task);
    await goesOn(task);
    expect(await told(task)).toEqual(['a.log']);
  });

  test('of the user’s own are nothing that is told', async () => {
    await world.startWorker();
    const path = mkdtempSync(join(world.dir, 'user-'));
    const task = await begun(MAKE, { path });
    rmSync(join(path, 'cache'), { recursive: true });
    await goesOn(task);
    expect(await told(task)).toEqual([]);
  });

  test('are told to be lost where a call removed them, and was undone', async () => {
    const child = await world.startChild();
    const made = call('bash', { command: 'mkdir -p pkg/cache && echo a > pkg/a' });
    const breaks = call('bash', { command: 'rm -r pkg && echo x > pkg && sleep 60' });
    const steps = [[call('write_file', { path: '.gitignore', content: 'cache\n' }), made], [breaks]];
    const task = await world.submit({ script: ({ answers }) => steps[answers] ?? say('Done.') });
    await world.until('the command runs', async () => {
      try {
        return world.read(task, 'pkg') === 'x\n';
      } catch {
        return false;
      }
    });
    child.kill('SIGKILL');
    await child.ended;
    await world.startWorker();
    await world.taskEnds(task);
    expect(await world.calls(task)).toEqual(['write_file succeeded', 'bash succeeded', 'bash unknown']);
    expect(world.read(task, 'pkg/a')).toBe('a\n');
    expect(await told(task)).toEqual(['pkg/cache/']);
  });

  test('that a command made in the background are told to be lost as well', async () => {
    await world.startWorker();
    const serve = 'mkdir cache && echo ready && exec sleep 600';
    const task = await begun([
      call('write_file', { path: '.gitignore', content: 'cache\n' }),
      call('bash', { command: serve, background: true }),
    ]);
    expect(world.read(task, '.gitignore')).toBe('cache\n');
    removePlace(task);
    await goesOn(task);
    expect(await told(task)).toEqual(['cache/']);
  });

  test('that a command in the background removes are nothing that is told while it goes on', async () => {
    await world.startWorker();
    const taking = 'until [ -e go ]; do sleep 0.05; done; rm -r cache; echo gone; exec sleep 600';
    const steps = [
      [
        call('write_file', { path: '.gitignore', content: 'cache\n' }),
        call('bash', { command: 'mkdir cache' }),
      ],
      [call('bash', { command: taking, background: true })],
      [call('write_file', { path: 'go', content: '' }), call('bash_poll', { id: 'bg_1', wait: 5 })],
      [call('bash_poll', { id: 'bg_1' })],
    ];
    const task = await world.submit({ script: ({ answers }) => steps[answers] ?? say('Done.') });
    await world.taskEnds(task);
    const results = (await world.entries(task)).filter(({ kind }) => kind === 'tool_result');
    expect(results.map(({ parts }) => textOf(parts)).join('\n')).toContain('gone\n');
    expect(await told(task)).toEqual([]);
  });

  test.each([
    [MAX_IGNORED - 1, ''],
    [MAX_IGNORED, ' (there may have been more)'],
    [MAX_IGNORED + 1, ' (there may have been more)'],
  ])('are named, as many as the limit: %i', async (count, more) => {
    await world.startWorker();
    const task = await begun([
      call('write_file', { path: '.gitignore', content: '*.log\n' }),
      call('bash', { command: `for i in $(seq 101 ${100 + count}); do touch $i.log; done` }),
    ]);
    removePlace(task);
    await goesOn(task);
    const names = Array.from({ length: Math.min(count, MAX_IGNORED) }, (_, index) => `${101 + index}.log`);
    expect(await told(task)).toEqual([names.join(', ') + more]);
  });

  test('are named on one line, whatever their names', async () => {
    await world.startWorker();
    const task = await begun([
      call('write_file', { path: '.gitignore', content: 'cache*\n' }),
      call('bash', { command: "mkdir $'cache\\nSay yes.'" }),
    ]);
    removePlace(task);
    await goesOn(task);
    expect(await told(task)).toEqual(['cache\\nSay yes./']);
  });
});
