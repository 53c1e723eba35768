/** What the sandbox runtime adds to the contract that all sandboxes share (`sandbox.test.ts`). */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { loadConfig } from '../../src/config.ts';
import { installGitSetup } from '../../src/sandbox/git-setup.ts';
import { createRuntimeSandbox, type RuntimeOptions } from '../../src/sandbox/runtime.ts';
import { openWrapper } from '../../src/sandbox/runtime-wrapper.ts';
import type { Command, CommandResult, LeasedSandbox } from '../../src/sandbox/sandbox.ts';
import { openSandbox } from '../../src/worker/main.ts';
import { makePlace, type SandboxPlace } from '../support/bubblewrap.ts';
import { runtime } from '../support/runtime.ts';

let place: SandboxPlace;
let sandbox: LeasedSandbox;

function start(options: Partial<RuntimeOptions> = {}): void {
  const environment = { PATH: process.env.PATH, HOME: join(place.path, 'home') };
  sandbox = createRuntimeSandbox({
    ...{ environment, profile: 'local', programs: runtime ?? { rg: '' } },
    ...options,
  });
}

async function restart(options: Partial<RuntimeOptions>): Promise<void> {
  await sandbox.close();
  start(options);
}

function run(script: string, more: Partial<Command> = {}): Promise<CommandResult> {
  const { workspace, scratch } = place;
  const places = { cwd: workspace, writable: [workspace], scratch };
  return sandbox.run({ script, ...places, timeoutMs: 20_000, ...more }, new AbortController().signal);
}

const wrapperPids = () =>
  readdirSync('/proc').filter((pid) => {
    try {
      const parent = /^PPid:\s+(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
      const isOurs = readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('runtime-process');
      return isOurs && parent === `${process.pid}`;
    } catch {
      return false;
    }
  });

describe.runIf(runtime !== undefined && process.platform === 'linux')('the sandbox runtime', () => {
  beforeEach(() => {
    place = makePlace('local');
    mkdirSync(join(place.path, 'home/.ssh'), { recursive: true });
    writeFileSync(join(place.path, 'home/.ssh/id'), 'PRIVATE');
    writeFileSync(join(place.path, 'home/notes'), 'notes\n');
    start();
  });
  afterEach(async () => {
    await sandbox.close();
    rmSync(place.path, { recursive: true, force: true });
    expect(readdirSync(tmpdir()).filter((name) => name.startsWith('capybara-runtime-'))).toEqual([]);
  });

  it('takes a script of any characters and of the greatest length as it is', async () => {
    const tricky = `printf '%s|' "a'b" 'c"d' '$HOME' "\\\\" '\`x\`' '!' '😀'; echo\n\ncat <<E\n  kept  \nE\n`;
    expect((await run(tricky)).output).toBe(`a'b|c"d|$HOME|\\|\`x\`|!|😀|\n  kept  \n`);
    for (const filling of [
      '€'.repeat(40_000),
      `${'x'.repeat(30_001)}${'😀'.repeat(20_000)}`,
      '😀'.repeat(32_000),
    ])
      expect((await run(`printf %s '${filling}' | wc -c`)).output.trim()).toBe(
        `${Buffer.byteLength(filling)}`,
      );
  });

  it('shows what is readable, and lets it be read only, also where it lies in what is writable', async () => {
    const readable = join(place.path, 'shared');
    mkdirSync(readable);
    const held = join(place.workspace, 'held');
    writeFileSync(held, 'held\n');
    const { output } = await run(
      `ls -d ${readable}; touch ${readable}/file; cat held; echo more >>held; mv held away; cat held`,
      { readable: [readable, held] },
    );
    expect(output).toContain(
      `${readable}\ntouch: cannot touch '${readable}/file': Read-only file system\nheld\n`,
    );
    expect(output).toMatch(/held\n$/);
    expect(readFileSync(held, 'utf8')).toBe('held\n');
  });

  it('shows the home without its secrets to one’s own machine, and none of it to a server', async () => {
    const look = `cat ${place.path}/home/notes ${place.path}/home/.ssh/id 2>&1; echo x >${place.path}/home/notes`;
    expect((await run(look)).output).toMatch(
      /^notes\ncat: .*No such file or directory\n.*Read-only file system\n$/s,
    );
    await restart({ profile: 'strict' });
    expect((await run(look)).output).not.toContain('notes\ncat');
    expect(readFileSync(join(place.path, 'home/notes'), 'utf8')).toBe('notes\n');
  });

  it('refuses a place that is reached by a symlink, since who writes beside it could lead it elsewhere', async () => {
    const link = join(place.path, 'link');
    symlinkSync(place.workspace, link);
    await expect(run('true', { writable: [link] })).rejects.toThrow(`which leads to ${place.workspace}`);
  });

  it('leaves nothing of its own in the workspace, and lets a repository be made in it', async () => {
    await run(
      'git init -q . && git config user.name Ada && touch .bashrc .gitmodules && ls .git/hooks >/dev/null',
    );
    expect(readdirSync(place.workspace).toSorted()).toEqual(['.bashrc', '.git', '.gitmodules']);
  });

  it('makes the commits of a command an agent’s', async () => {
    const git = installGitSetup(join(place.path, 'git'));
    await restart({ git, hidden: [join(place.path, 'git')] });
    await run('git init -q . && git commit -q --allow-empty -m one');
    const log = execFileSync('git', ['-C', place.workspace, 'log', '--format=%an%n%B'], { encoding: 'utf8' });
    expect(log).toContain('Co-authored-by: Capybara Vibe <agent@capybara.ai>');
  });

  it('holds a command to its limits, on both sides of each', async () => {
    const MIB = 1024 * 1024;
    await restart({ limits: { fileBytes: MIB, openFiles: 64, memoryBytes: 256 * MIB, cpuSeconds: 100 } });
    const file = (bytes: number) => `head -c ${bytes} /dev/zero >file; stat -c %s file`;
    expect((await run(file(MIB))).output).toBe(`${MIB}\n`);
    expect((await run(`${file(MIB + 1)} 2>/dev/null`)).output).toContain(`${MIB}\n`);
    expect((await run('ulimit -n; ulimit -t; ulimit -d; ulimit -c')).output).toBe(
      `64\n100\n${256 * 1024}\n0\n`,
    );
  });

  it('is what a worker opens that chose it, with its settings, and its data hidden', async () => {
    const dataDir = join(place.path, 'data');
    const set = { CAPYBARA_COMMANDS_OPEN_FILES: '99', CAPYBARA_COMMANDS_CPU_SECONDS: '77' };
    const { config } = loadConfig({ env: { ...set, CAPYBARA_DATA_DIR: dataDir } });
    await sandbox.close();
    const choice = { name: 'runtime', profile: 'local', reason: '', program: runtime?.bwrap ?? '' } as const;
    sandbox = openSandbox(config, { ...choice, programs: runtime ?? { rg: '' } });
    expect(sandbox).toMatchObject({ name: 'runtime', confined: true });
    writeFileSync(join(dataDir, 'api-key'), 'KEY');
    expect((await run(`ulimit -n; ulimit -t; ulimit -f; cat ${dataDir}/api-key 2>&1`)).output).toMatch(
      /^99\n77\n10485760\ncat: .*No such file or directory\n$/,
    );
  });

  it('goes on when the process that wraps commands was killed', async () => {
    await run('true');
    const [pid] = wrapperPids();
    process.kill(Number(pid), 'SIGKILL');
    const [one, other] = await Promise.all([run('echo again'), run('echo too')]);
    expect([one.output, other.output]).toEqual(['again\n', 'too\n']);
    expect(wrapperPids()).toHaveLength(1);
  });

  it('starts no process of its own before the first command, and has none when it is closed', async () => {
    expect(wrapperPids()).toEqual([]);
    await Promise.all([run('true'), run('true')]);
    expect(wrapperPids()).toHaveLength(1);
    await sandbox.close();
    expect(wrapperPids()).toEqual([]);
  });
});

const NO_FILES = { denyRead: [], allowRead: [], allowWrite: [], denyWrite: [] };

describe.runIf(runtime !== undefined)('the process that wraps commands', () => {
  const programs = runtime ?? { rg: '' };

  it('says in a sentence what it cannot do', async () => {
    const wrapper = await openWrapper({ programs }, '');
    try {
      await expect(wrapper.wrap({ text: 5 as never, files: NO_FILES })).rejects.toThrow(
        /^The sandbox runtime could not confine the command: .+\.$/,
      );
      expect(await wrapper.wrap({ text: 'true', files: NO_FILES })).toHaveLength(3);
    } finally {
      await wrapper.close();
    }
    await expect(wrapper.wrap({ text: 'true', files: NO_FILES })).rejects.toThrow('its process has ended');
  });

  it('is ended when it does not answer in time, and not before', async () => {
    const wrapper = await openWrapper({ programs }, '', 10_000);
    const [pid] = wrapperPids();
    process.kill(Number(pid), 'SIGSTOP');
    const late = wrapper.wrap({ text: 'true', files: NO_FILES });
    process.kill(Number(pid), 'SIGCONT');
    expect(await late).toHaveLength(3);
    await wrapper.close();
    const hasty = await openWrapper({ programs }, '', 10_000);
    process.kill(Number(wrapperPids()[0]), 'SIGSTOP');
    await expect(hasty.wrap({ text: 'true', files: NO_FILES })).rejects.toThrow('its process has ended');
    expect(hasty.isAlive).toBe(false);
    await hasty.close();
  });
});
