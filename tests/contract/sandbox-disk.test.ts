/** Commands that fill the disk, on a small one. */
import { mkdirSync, mkdtempSync, realpathSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createBubblewrapSandbox } from '../../src/sandbox/bubblewrap.ts';
import { DiskWatch, LONGEST_MS } from '../../src/sandbox/disk-watch.ts';
import type { CommandResult, LeasedSandbox } from '../../src/sandbox/sandbox.ts';
import { createUnconfinedSandbox } from '../../src/sandbox/unconfined.ts';
import { bubblewrap } from '../support/bubblewrap.ts';
import { mountSmallDisk, SMALL_DISK_FILES, type SmallDisk } from '../support/small-disk.ts';

const MIB = 1024 * 1024;
const DISK = 64 * MIB;
const FLOOR = 24 * MIB;
/** A MiB at a time for ever, whether there is room or not. */
const FILL = 'while :; do head -c 1M /dev/zero >> "$0.$RANDOM"; done 2>/dev/null';
const FILLED = { type: 'limit', limit: 'disk' };

let dir: string;
let disk: SmallDisk | undefined;
let sandbox: LeasedSandbox;

const probe = mkdtempSync(join(tmpdir(), 'capybara-disk-'));
const canMount = mountSmallDisk(probe, MIB);
canMount?.unmount();
rmSync(probe, { recursive: true });

beforeEach(() => {
  dir = realpathSync(mkdtempSync(join(tmpdir(), 'capybara-disk-')));
  disk = canMount && mountSmallDisk(dir, DISK);
});
afterEach(async () => {
  await sandbox?.close();
  disk?.unmount();
  rmSync(dir, { recursive: true, force: true });
});

function run(script: string, name = 'one', onOutput?: (text: string) => void): Promise<CommandResult> {
  const workspace = join(dir, name);
  mkdirSync(workspace, { recursive: true });
  const places = { cwd: workspace, writable: [workspace], scratch: join(dir, 'scratch', name) };
  const told = onOutput === undefined ? {} : { onOutput };
  return sandbox.run({ script, ...places, ...told, timeoutMs: 20_000 }, new AbortController().signal);
}

const free = () => statfsSync(dir).bavail * statfsSync(dir).bsize;

describe.runIf(canMount !== undefined).each(['bubblewrap', 'none'])('in %s', (kind) => {
  const open = (freeBytes = FLOOR) => {
    const options = { environment: process.env, killGraceMs: 100, freeBytes };
    sandbox =
      kind === 'none'
        ? createUnconfinedSandbox(options)
        : createBubblewrapSandbox({ ...options, profile: 'local', program: bubblewrap ?? '' });
  };
  const test = it.runIf(kind === 'none' || bubblewrap !== undefined);

  test('a command that leaves as much as is to stay free ends as it likes', async () => {
    open();
    const { end } = await run('head -c 30M /dev/zero > big; sleep 0.3; echo done');
    expect(end).toEqual({ type: 'exit', code: 0 });
    expect(free()).toBeGreaterThanOrEqual(FLOOR);
  });

  test('one that leaves less is ended, also where it has just ended itself', async () => {
    open();
    expect((await run(FILL)).end).toEqual(FILLED);
    expect(free()).toBeLessThan(FLOOR);
    rmSync(join(dir, 'one'), { recursive: true });
    expect((await run('sleep 0.1; head -c 60M /dev/zero > big')).end).toEqual(FILLED);
  });

  test('one that fills it with files that hold nothing is ended too', async () => {
    open();
    const result = await run(`seq ${SMALL_DISK_FILES - 1_000} | xargs touch; sleep 20`);
    expect(result.end).toEqual(FILLED);
  });

  test('on a disk with less from the beginning, commands still run, but may not take the half of what is left', async () => {
    open();
    writeFileSync(join(dir, 'filler'), Buffer.alloc(DISK - 16 * MIB));
    expect((await run('head -c 4M /dev/zero > some; sleep 0.3')).end).toEqual({ type: 'exit', code: 0 });
    expect((await run('rm some; sleep 0.3')).end).toEqual({ type: 'exit', code: 0 });
    expect((await run(FILL)).end).toEqual(FILLED);
  });

  test('nobody looks where nothing is to stay free', async () => {
    open(0);
    const { end, output } = await run('head -c 65M /dev/zero > big 2>/dev/null || echo full');
    expect({ end, output }).toEqual({ end: { type: 'exit', code: 0 }, output: 'full\n' });
  });
});

describe.runIf(canMount !== undefined)('where several run', () => {
  it('the one that has written most is ended, and the others go on', async () => {
    const watch = new DiskWatch(FLOOR);
    const ended: string[] = [];
    const writer = (name: string, bytes: number) => ({
      ...{ paths: [dir, join(dir, 'nothing')], written: () => bytes },
      end: () => ended.push(name),
    });
    const little = watch.watch(writer('little', 1));
    const most = watch.watch(writer('most', 9));
    const more = watch.watch(writer('more', 5));
    const fill = (name: string, bytes: number) => writeFileSync(join(dir, name), Buffer.alloc(bytes));
    const looks = () => new Promise((resolve) => setTimeout(resolve, 2 * LONGEST_MS));
    fill('to below the floor', DISK - 20 * MIB);
    await vi.waitFor(() => expect(ended).toEqual(['most']));
    fill('while it still dies', 9 * MIB);
    await looks();
    most.stop();
    await looks();
    expect(ended).toEqual(['most']);
    fill('to the half of that', 6 * MIB);
    await vi.waitFor(() => expect(ended).toEqual(['most', 'more']));
    // Nobody can tell any more who wrote it.
    expect([little, more].map((each) => each.hasFilled())).toEqual([false, false]);
    more.stop();
    little.stop();
  });

  it.runIf(bubblewrap !== undefined)('none takes room without writing, which nobody could tell', async () => {
    const options = { environment: process.env, killGraceMs: 100, freeBytes: FLOOR };
    sandbox = createBubblewrapSandbox({ ...options, profile: 'local', program: bubblewrap ?? '' });
    const allot = 'python3 -c "import os; os.posix_fallocate(os.open(\'written\', 66), 0, 2000000)"';
    const { output } = await run(`fallocate -l 40M unwritten; ${allot}; du -m written`);
    expect(output).toMatch(/not supported\n2\twritten\n$/);
    expect(free()).toBeGreaterThan(FLOOR);
  });

  it.runIf(bubblewrap !== undefined)('a small one lives through what a large one does', async () => {
    const options = { environment: process.env, killGraceMs: 100, freeBytes: FLOOR };
    sandbox = createBubblewrapSandbox({ ...options, profile: 'local', program: bubblewrap ?? '' });
    const small = Promise.withResolvers<void>();
    const first = run('echo begun; until [ -e stop ]; do sleep 0.02; done; echo end', 'small', () =>
      small.resolve(),
    );
    await small.promise;
    expect((await run(FILL, 'large')).end).toEqual(FILLED);
    writeFileSync(join(dir, 'small', 'stop'), '');
    expect(await first).toMatchObject({ end: { type: 'exit', code: 0 }, output: 'begun\nend\n' });
  });
});
