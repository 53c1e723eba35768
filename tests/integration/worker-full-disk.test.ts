/** A worker whose data directory lies on a small disk, and commands that fill it. */
import { existsSync, readdirSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { createBubblewrapSandbox } from '../../src/sandbox/bubblewrap.ts';
import type { LeasedSandbox } from '../../src/sandbox/sandbox.ts';
import { bubblewrap } from '../support/bubblewrap.ts';
import { call, say, sequence } from '../support/scripted-model/scripted-model.ts';
import { mountSmallDisk, type SmallDisk } from '../support/small-disk.ts';
import { type Task, useWorld } from '../support/worker.ts';

vi.setConfig({ testTimeout: 120_000 });

const MIB = 1024 * 1024;
const DISK = 96 * MIB;
const FLOOR = 32 * MIB;
const fill = (place: string) =>
  `while :; do head -c 4M /dev/urandom >> "${place}/big.$RANDOM"; done 2>/dev/null`;

describe.runIf(bubblewrap !== undefined && process.getuid?.() === 0)('a command that fills the disk', () => {
  const world = useWorld({ kind: 'postgres' });
  let disk: SmallDisk | undefined;
  let sandbox: LeasedSandbox;
  const data = () => join(world.dir, 'data');
  const free = () => statfsSync(data()).bavail * statfsSync(data()).bsize;

  beforeAll(() => {
    disk = mountSmallDisk(data(), DISK);
  });
  beforeEach((context) => {
    if (disk === undefined) context.skip('only root can mount a small disk, and not in every container');
    sandbox = createBubblewrapSandbox({
      ...{ environment: process.env, profile: 'local', program: bubblewrap ?? '', killGraceMs: 100 },
      freeBytes: FLOOR,
    });
  });
  afterEach(async () => {
    await world.stopWorkers();
    await sandbox?.close();
  });
  afterAll(() => disk?.unmount());

  const bash = (command: string, more = {}) => call('bash', { command, timeout: 60, ...more });
  const results = async (task: Task) => JSON.stringify(await world.entries(task));

  test.each(['.', '$HOME/.cache'])(
    'in %s is ended and undone, and no other session notices',
    async (place) => {
      await world.startWorker({ sandbox });
      const other = await world.submit({
        script: sequence([
          bash('echo begun > begun; until [ -e stop ]; do sleep 0.05; done; echo end > end'),
          say('Done.'),
        ]),
      });
      await world.until('the other begins', async () => existsSync(join(other.root, 'begun')));
      const task = await world.submit({
        script: sequence([
          bash('echo kept > kept; mkdir -p ~/.cache; echo old > ~/.cache/old'),
          bash(fill(place)),
          bash('cat kept; ls -A . ~/.cache'),
          say('Done.'),
        ]),
      });
      expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
      expect(await world.calls(task)).toEqual(['bash succeeded', 'bash failed', 'bash succeeded']);
      expect(await results(task)).toContain('the disk was about to be full, and this command wrote most');
      expect(await results(task)).toContain('the files were put back to what they were before the call');
      expect(readdirSync(task.root)).toEqual(['kept']);
      expect(readdirSync(join(task.scratch, 'cache'))).toEqual([]);
      expect(free()).toBeGreaterThan(FLOOR);
      writeFileSync(join(other.root, 'stop'), '');
      expect(await world.taskEnds(other)).toMatchObject({ status: 'succeeded' });
      expect(world.read(other, 'end')).toBe('end\n');
    },
  );

  test('in the background is told of, and undone too', async () => {
    await world.startWorker({ sandbox });
    const task = await world.submit({
      script: sequence([
        bash('echo kept > kept'),
        bash(`until [ -e go ]; do sleep 0.05; done; ${fill('.')}`, { background: true }),
        call('bash_poll', { id: 'bg_1', wait: 60 }),
        bash('cat kept; ls -A'),
        say('Done.'),
      ]),
      tools: ['bash', 'bash_poll'],
    });
    await world.until('it runs', async () => (await world.calls(task)).length === 3);
    writeFileSync(join(task.root, 'go'), '');
    expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
    expect(await results(task)).toContain('since the disk was about to be full');
    expect(readdirSync(task.root)).toEqual(['kept']);
    expect(free()).toBeGreaterThan(FLOOR);
  });

  test('in a directory of the user’s own is ended, and what it left is theirs', async () => {
    const path = join(world.dir, 'user');
    const own = mountSmallDisk(path, DISK);
    try {
      await world.startWorker({ sandbox });
      const task = await world.submit({
        path,
        script: sequence([bash('head -c 70M /dev/zero > big; sleep 20'), say('Done.')]),
      });
      expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
      expect(await results(task)).toContain('The files of the workspace are as the command left them.');
      expect(readdirSync(path)).toEqual(['big']);
    } finally {
      own?.unmount();
    }
  });

  test('where the disk is full already, a task waits until there is room, and then goes on', async () => {
    const filler = join(data(), 'filler');
    writeFileSync(filler, Buffer.alloc(free()));
    await world.startWorker({ sandbox });
    const task = await world.submit({ script: sequence([bash('echo kept > kept'), say('Done.')]) });
    await world.taskIs(task, { status: 'waiting', waiting_on: 'retry' });
    rmSync(filler);
    expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
    expect(world.read(task, 'kept')).toBe('kept\n');
  });
});
