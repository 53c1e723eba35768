/** What becomes of a session's files: recorded after each call, put back where a worker was lost in the middle of one. */
import { mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { textOf } from '../../src/core/entry.ts';
import { call, say, sequence } from '../support/scripted-model/scripted-model.ts';
import { SHORT_LEASE, type Task, useWorld } from '../support/worker.ts';

describe('the files of a session', () => {
  // Which queue wakes a turn is nothing to its files; `chaos/crash-points` has both.
  const world = useWorld({ kind: 'postgres' });
  const stumbling = () =>
    world.submit({
      script: sequence([
        [
          call('note', { text: 'first' }),
          call('stumble', { text: 'second' }),
          call('note', { text: 'third' }),
        ],
        say('Done.'),
      ]),
    });
  const headOf = async ({ sessionId }: Task) => {
    const [row] = await world.db.sql<{ base: string | null; head: string | null }>`
      SELECT w.base, w.head FROM workspace w JOIN session s ON s.workspace_id = w.id WHERE s.id = ${sessionId}`;
    return row;
  };
  /** What the last calls returned. */
  const lastTexts = async (task: Task, count: number) => {
    const results = (await world.entries(task)).filter(({ kind }) => kind === 'tool_result');
    return results.slice(-count).map(({ parts }) => textOf(parts));
  };
  const snapshotsOf = ({ sessionId }: Task) => world.db.sql<{ name: string; snapshot: string | null }>`
    SELECT name, snapshot FROM tool_call WHERE session_id = ${sessionId} ORDER BY result_position`;

  test('are recorded with the result of each call that changes them, and of no other', async () => {
    await world.startWorker();
    const task = await world.submit({
      script: sequence([
        [
          call('note', { text: 'a' }),
          call('look', { text: 'b' }),
          call('tell', { text: 'c' }),
          call('note', { text: 'd' }),
        ],
        say('Done.'),
      ]),
    });
    await world.taskEnds(task);
    const snapshots = await snapshotsOf(task);
    expect(snapshots.map(({ name, snapshot }) => `${name} ${snapshot !== null}`)).toEqual([
      'note true',
      'look false',
      'tell false',
      'note true',
    ]);
    expect(await headOf(task)).toEqual({ base: null, head: snapshots.at(-1)?.snapshot });
    expect(snapshots.at(-1)?.snapshot).not.toBe(snapshots[0]?.snapshot);
  });

  test('are those of one run of a call whose worker was killed in the middle of it', async () => {
    const child = await world.startChild();
    const task = await stumbling();
    await child.hears('noted second');
    await world.startWorker();
    child.kill('SIGKILL');
    expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
    expect(await world.calls(task)).toEqual(['note succeeded', 'stumble succeeded', 'note succeeded']);
    expect(world.notes(task)).toEqual(['first', 'second', 'third']);
    expect(world.noted(task).filter((line) => line === 'second')).toHaveLength(2);
  });

  test('are out of reach of a worker that stood still in the middle of a call and goes on', async () => {
    const child = await world.startChild({ lease: SHORT_LEASE });
    const task = await stumbling();
    await child.hears('noted second');
    child.kill('SIGSTOP');
    await world.startWorker({ lease: SHORT_LEASE });
    expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
    const places = readdirSync(join(task.root, '..')).filter((name) => name.startsWith('place-'));
    expect(places).toHaveLength(2);
    for (const place of places) writeFileSync(join(task.root, '..', place, 'files', 'mark'), place);
    expect(world.notes(task)).toEqual(['first', 'second', 'third']);
    child.kill('SIGCONT');
    child.kill('SIGTERM');
    await child.ended;
    expect(world.notes(task)).toEqual(['first', 'second', 'third']);
  });

  test('are put back, and the call runs again, where its worker is told to stop: it is not waited for', async () => {
    const child = await world.startChild();
    const task = await stumbling();
    await child.hears('noted second');
    child.kill('SIGTERM');
    await child.ended;
    await world.startWorker();
    expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
    expect(await world.attempts(task)).toEqual(['drained', 'settled', 'settled']);
    expect(world.notes(task)).toEqual(['first', 'second', 'third']);
  });

  test('are recorded as an interrupted call left them where the task is cancelled', async () => {
    await world.startWorker();
    const task = await stumbling();
    await world.hears('noted second');
    await world.cancel(task);
    await world.taskEnds(task);
    expect(await world.calls(task)).toEqual(['note succeeded', 'stumble interrupted', 'note interrupted']);
    const snapshots = await snapshotsOf(task);
    expect(await headOf(task)).toMatchObject({ head: snapshots[1]?.snapshot });
    expect(world.notes(task)).toEqual(['first', 'second']);
  });

  test('are handed on to another worker of the host with what no snapshot holds', async () => {
    const first = await world.startChild();
    const task = await world.submit({
      script: sequence([
        [
          call('write_file', { path: '.gitignore', content: 'cache\n' }),
          call('bash', { command: 'mkdir cache && echo kept > cache/file' }),
        ],
        say('Done.'),
      ]),
    });
    await world.taskEnds(task);
    first.kill('SIGTERM');
    await first.ended;
    await world.startWorker();
    const next = await world.submit({
      sessionId: task.sessionId,
      script: sequence([
        say('Before.'),
        say('Before.'),
        call('bash', { command: 'cat cache/file' }),
        say('Done.'),
      ]),
    });
    await world.taskEnds(next);
    const results = (await world.entries(task)).filter(({ kind }) => kind === 'tool_result');
    expect(results.at(-1)).toMatchObject({ parts: [{ text: 'kept\n' }] });
  });

  test('follow their session to another host, where hosts share snapshots', async () => {
    const sharedSnapshots = join(world.dir, 'shared');
    const first = await world.startWorker({ dataDir: join(world.dir, 'host-a'), sharedSnapshots });
    const task = await world.submit({ script: sequence([call('note', { text: 'a' }), say('Done.')]) });
    await world.taskEnds(task);
    await first.stop();
    const dataDir = join(world.dir, 'host-b');
    await world.startWorker({ dataDir, sharedSnapshots });
    const script = sequence([say('Before.'), say('Before.'), call('note', { text: 'b' }), say('Done.')]);
    await world.taskEnds(await world.submit({ sessionId: task.sessionId, script }));
    const id = task.root.split('/').at(-2) ?? '';
    expect(readFileSync(join(dataDir, 'workspaces', id, 'files', 'notes'), 'utf8')).toBe('a\nb\n');
  });

  test('are waited for where only another host has them', async () => {
    const first = await world.startWorker({ dataDir: join(world.dir, 'host-c') });
    const task = await world.submit({ script: sequence([call('note', { text: 'a' }), say('Done.')]) });
    await world.taskEnds(task);
    await first.stop();
    const second = await world.startWorker({ dataDir: join(world.dir, 'host-d') });
    const script = sequence([say('Before.'), say('Before.'), call('note', { text: 'b' }), say('Done.')]);
    const next = await world.submit({ sessionId: task.sessionId, script });
    await world.taskIs(next, { status: 'waiting', waiting_on: 'retry' });
    await second.stop();
    await world.startWorker({ dataDir: join(world.dir, 'host-c') });
    expect(await world.taskEnds(next)).toMatchObject({ status: 'succeeded' });
  });

  test('that a tool wrote are part of the work although they are ignored', async () => {
    const child = await world.startChild({ lease: SHORT_LEASE });
    const task = await world.submit({
      script: sequence([
        [
          call('write_file', { path: '.gitignore', content: 'build\n' }),
          call('write_file', { path: 'build/made.txt', content: 'made' }),
          call('stumble', { text: 'then' }),
        ],
        say('Done.'),
      ]),
    });
    await child.hears('noted then');
    child.kill('SIGSTOP');
    await world.startWorker({ lease: SHORT_LEASE });
    await world.taskEnds(task);
    expect(world.read(task, 'build/made.txt')).toBe('made');
    expect(world.notes(task)).toEqual(['then']);
    expect(await world.calls(task)).toEqual([
      'write_file succeeded',
      'write_file succeeded',
      'stumble succeeded',
    ]);
    child.kill('SIGKILL');
  });

  test('are edited again by a worker that lost them and starts over: it forgets what it saw of what was put back', async () => {
    const worker = await world.startWorker();
    const edit = { path: 'a', old_string: 'one', new_string: 'two' };
    const task = await world.submit({
      script: sequence([
        call('write_file', { path: 'a', content: 'one\n' }),
        [call('edit_file', edit), call('stumble', { text: 'then' })],
        say('Done.'),
      ]),
    });
    await world.hears('noted then');
    await world.db.sql`UPDATE worker SET ended_at = clock_timestamp() WHERE id = ${worker.id}`;
    await world.taskEnds(task);
    expect(await world.calls(task)).toEqual([
      'write_file succeeded',
      'edit_file succeeded',
      'stumble succeeded',
    ]);
    expect(world.read(task, 'a')).toBe('two\n');
  });

  test('are not edited by another worker either where they are no more what the agent has read', async () => {
    const child = await world.startChild();
    const edit = call('edit_file', { path: 'notes', old_string: 'first', new_string: 'one' });
    const task = await world.submit({
      script: sequence([
        call('note', { text: 'first' }),
        call('read_file', { path: 'notes' }),
        call('stumble', { text: 'second' }),
        edit,
        call('read_file', { path: 'notes' }),
        edit,
        say('Done.'),
      ]),
    });
    await child.hears('noted second');
    child.kill('SIGKILL');
    await child.ended;
    await world.startWorker();
    await world.taskEnds(task);
    expect((await world.calls(task)).slice(3)).toEqual([
      'edit_file failed',
      'read_file succeeded',
      'edit_file succeeded',
    ]);
    expect(await lastTexts(task, 3)).toEqual([
      expect.stringContaining("'notes' is not what it was when you read it"),
      expect.stringContaining('second'),
      expect.stringMatching(/^Edited/),
    ]);
    expect(world.notes(task)).toEqual(['one', 'second']);
  });

  test('of the user’s own are not edited where the user changed them since, whoever has the session by then', async () => {
    const path = mkdtempSync(join(world.dir, 'user-'));
    const change = (text: string) => writeFileSync(join(path, 'a'), text);
    change('one\n');
    const first = await world.startWorker();
    const task = await world.submit({
      path,
      script: sequence([call('read_file', { path: 'a' }), say('Read.')]),
    });
    await world.taskEnds(task);
    await first.stop();
    change('one\ntwo\n');
    await world.startWorker({ dataDir: join(world.dir, 'elsewhere') });
    const edit = call('edit_file', { path: 'a', old_string: 'one', new_string: '1' });
    const next = await world.submit({
      sessionId: task.sessionId,
      script: sequence([say('Before.'), say('Before.'), edit, say('Done.')]),
    });
    await world.taskEnds(next);
    expect(await lastTexts(task, 1)).toEqual([
      expect.stringContaining("'a' is not what it was when you read it"),
    ]);
    expect(readFileSync(join(path, 'a'), 'utf8')).toBe('one\ntwo\n');
  });

  test('that are ignored are edited once: what a tool is about to write is put back as it was', async () => {
    const child = await world.startChild();
    const task = await world.submit({
      script: sequence([
        call('write_file', { path: '.gitignore', content: 'build\n' }),
        call('bash', { command: 'mkdir build && echo end > build/made' }),
        [
          call('edit_file', { path: 'build/made', old_string: 'end', new_string: 'the end' }),
          call('stumble', { text: 'then' }),
        ],
        say('Done.'),
      ]),
    });
    await child.hears('noted then');
    child.kill('SIGKILL');
    await child.ended;
    await world.startWorker();
    await world.taskEnds(task);
    expect(world.read(task, 'build/made')).toBe('the end\n');
    expect(await headOf(task)).toMatchObject({ base: null });
  });

  test('of the user’s own are never put back: a call that was lost among changes is told as unknown', async () => {
    const child = await world.startChild();
    const task = await world.submit({
      local: true,
      script: sequence([[call('stumble', { text: 'once' }), call('note', { text: 'after' })], say('Done.')]),
    });
    await child.hears('noted once');
    child.kill('SIGKILL');
    await child.ended;
    writeFileSync(join(task.root, 'mine'), 'mine');
    await world.startWorker();
    await world.taskEnds(task);
    expect(await world.calls(task)).toEqual(['stumble unknown', 'note succeeded']);
    expect(world.notes(task)).toEqual(['once', 'after']);
    expect(world.read(task, 'mine')).toBe('mine');
    const result = (await world.entries(task)).find((entry) => entry.kind === 'tool_result');
    expect(JSON.stringify(result)).toContain(
      'Files have changed since before the call, by the call or by the user.',
    );
  });

  test('of the user’s own may be ignored ones: a command that was lost is not run again', async () => {
    const child = await world.startChild();
    const command = 'echo x >> count; sleep 60';
    const task = await world.submit({
      local: true,
      script: sequence([
        call('write_file', { path: '.gitignore', content: 'count\n' }),
        call('bash', { command }),
        say('Done.'),
      ]),
    });
    await world.until('the command runs', async () => world.read(task, 'count') === 'x\n');
    child.kill('SIGKILL');
    await world.startWorker();
    await world.taskEnds(task);
    expect(await world.calls(task)).toEqual(['write_file succeeded', 'bash unknown']);
    expect(world.read(task, 'count')).toBe('x\n');
  });

  test('of the user’s own are not changed again for a worker that stands still and may come back', async () => {
    const child = await world.startChild({ lease: SHORT_LEASE });
    const task = await world.submit({
      local: true,
      script: sequence([call('halt', { text: 'once' }), say('Done.')]),
    });
    await child.hears('halted once');
    child.kill('SIGSTOP');
    await world.startWorker({ lease: SHORT_LEASE });
    await world.taskEnds(task);
    expect(await world.calls(task)).toEqual(['halt unknown']);
    expect(world.notes(task)).toEqual([]);
    child.kill('SIGCONT');
    await child.hears('noted once');
    expect(world.notes(task)).toEqual(['once']);
  });
});
