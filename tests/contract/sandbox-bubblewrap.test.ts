/** What bubblewrap adds to the contract that all sandboxes share (`sandbox.test.ts`). */
import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { loadConfig } from '../../src/config.ts';
import { type BubblewrapOptions, createBubblewrapSandbox } from '../../src/sandbox/bubblewrap.ts';
import { countsByNamespace } from '../../src/sandbox/limits.ts';
import { UNPRIVILEGED } from '../../src/sandbox/runner.ts';
import type { Command, CommandResult, LeasedSandbox } from '../../src/sandbox/sandbox.ts';
import { openSandbox } from '../../src/worker/main.ts';
import { bubblewrap, makePlace, type SandboxPlace } from '../support/bubblewrap.ts';

const isRoot = process.getuid?.() === 0;
let place: SandboxPlace;
let sandbox: LeasedSandbox;

function start(options: Partial<BubblewrapOptions> = {}): void {
  sandbox = createBubblewrapSandbox({
    ...{ environment: process.env, profile: 'strict', program: bubblewrap ?? '' },
    ...options,
  });
}

function run(script: string, more: Partial<Command> = {}): Promise<CommandResult> {
  const { workspace, scratch } = place;
  const places = { cwd: workspace, writable: [workspace], scratch };
  return sandbox.run({ script, ...places, timeoutMs: 20_000, ...more }, new AbortController().signal);
}

describe.runIf(bubblewrap !== undefined)('bubblewrap', () => {
  beforeEach(() => {
    place = makePlace('strict');
    start();
  });
  afterEach(async () => {
    await sandbox.close();
    rmSync(place.path, { recursive: true, force: true });
  });

  it('keeps the home of a session from one command to the next, in its scratch directory alone', async () => {
    await run('mkdir -p ~/.cache/tool && echo kept > ~/.cache/tool/file');
    expect((await run('cat ~/.cache/tool/file')).output).toBe('kept\n');
    expect(statSync(place.scratch).mode & 0o777).toBe(0o700);
    const other = await run('ls -A ~', { scratch: `${place.scratch}-other` });
    expect(other.output).toBe('');
  });

  it('keeps /tmp of a session too, where nothing of it lies below the /tmp of the host', async () => {
    rmSync(place.path, { recursive: true });
    const path = realpathSync(mkdtempSync('/var/tmp/capybara-sandbox-'));
    place = { path, workspace: join(path, 'workspace'), scratch: join(path, 'scratch') };
    mkdirSync(place.workspace);
    chmodSync(path, 0o711);
    if (isRoot) chownSync(place.workspace, UNPRIVILEGED.uid, UNPRIVILEGED.gid);
    await run('echo kept > /tmp/file');
    expect((await run('cat /tmp/file')).output).toBe('kept\n');
  });

  it('shows what is readable, and lets it be read only', async () => {
    const readable = join(place.path, 'shared');
    mkdirSync(readable);
    const { output } = await run(`ls -d ${readable}; touch ${readable}/file`, { readable: [readable] });
    expect(output).toBe(`${readable}\ntouch: cannot touch '${readable}/file': Read-only file system\n`);
  });

  it('refuses a place that is reached by a symlink, since who writes beside it could lead it elsewhere', async () => {
    const link = join(place.path, 'link');
    symlinkSync(place.workspace, link);
    await expect(run('true', { writable: [link] })).rejects.toThrow(`which leads to ${place.workspace}`);
  });

  it('says why where it cannot start', async () => {
    await sandbox.close();
    start({ readable: ['/proc/self/nothing'] });
    await expect(run('true')).rejects.toThrow('ENOENT');
  });

  it('lets commands use what their limits say', async () => {
    await sandbox.close();
    start({
      limits: { openFiles: 99, fileBytes: 1_048_576, cpuSeconds: 77, processes: 88, memoryBytes: 1024 ** 3 },
    });
    const { output } = await run(
      'ulimit -n; ulimit -f; ulimit -t; ulimit -d; ulimit -u; head -c 1048576 /dev/zero > full; stat -c %s full',
    );
    const processes = countsByNamespace('5.14') ? '88' : '';
    expect(output.split('\n').slice(0, 6)).toEqual(['99', '1024', '77', '1048576', processes, '1048576']);
    expect((await run('head -c 1048577 /dev/zero > over; stat -c %s over')).output).toMatch(/1048576\n$/);
  });

  it('has the limits that are set, where a worker opens it', async () => {
    const set = { CAPYBARA_COMMANDS_OPEN_FILES: '99', CAPYBARA_COMMANDS_CPU_SECONDS: '77' };
    const { config } = loadConfig({ env: { ...set, CAPYBARA_DATA_DIR: join(place.path, 'data') } });
    await sandbox.close();
    sandbox = openSandbox(config, {
      name: 'bubblewrap',
      profile: 'local',
      reason: '',
      program: bubblewrap ?? '',
    });
    expect((await run('ulimit -n; ulimit -t; ulimit -f')).output).toBe('99\n77\n10485760\n');
  });

  it.runIf(isRoot)(
    'started by root in a directory of somebody else’s sees no home that they may not enter',
    async () => {
      const home = join(place.path, 'home');
      mkdirSync(join(home, '.cargo', 'bin'), { recursive: true });
      mkdirSync(join(home, 'project'));
      await sandbox.close();
      start({ profile: 'local', home });
      expect((await run(`ls -A ${home}`)).output).toBe('.cache\n.cargo\nproject\n');
      chmodSync(home, 0o700);
      expect((await run(`ls -A ${home}`)).output).toBe('.cache\n');
    },
  );

  it('counts processes by namespace since Linux 5.14', () => {
    expect(['5.13.9', '4.19', '5.14.0-x', '6.1', '10.0'].map(countsByNamespace)).toEqual([
      false,
      false,
      true,
      true,
      true,
    ]);
  });

  it.runIf(isRoot)(
    'started by root runs as somebody else, whose the files are, and says so where it cannot',
    async () => {
      await run('touch file');
      expect(statSync(join(place.workspace, 'file')).uid).toBe(UNPRIVILEGED.uid);
      chownSync(place.workspace, 12_345, 12_345);
      expect((await run('touch theirs', { scratch: `${place.scratch}-theirs` })).end).toEqual({
        type: 'exit',
        code: 0,
      });
      expect(statSync(join(place.workspace, 'theirs')).uid).toBe(12_345);
      chownSync(place.workspace, 0, 0);
      await expect(run('true')).rejects.toThrow(`chown -R 61000:61000 ${place.workspace}`);
      chownSync(place.workspace, UNPRIVILEGED.uid, UNPRIVILEGED.gid);
      chmodSync(place.path, 0o700);
      await expect(run('true')).rejects.toThrow(`who may not enter ${place.path}`);
    },
  );
});
