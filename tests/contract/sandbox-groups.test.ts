/** Commands in control groups of their own. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createBubblewrapSandbox } from '../../src/sandbox/bubblewrap.ts';
import { MAX_SCRIPT_BYTES } from '../../src/sandbox/calls.ts';
import { findGroupPlace, groupsSentence, ownGroup, textAt } from '../../src/sandbox/group-place.ts';
import { type GroupLimits, type Groups, killGroup } from '../../src/sandbox/groups.ts';
import type { Command, CommandResult, LeasedSandbox } from '../../src/sandbox/sandbox.ts';
import { sayEnd } from '../../src/tools/background-news.ts';
import { outcomeOf } from '../../src/tools/bash.ts';
import { bubblewrap, makePlace, pidsIn, type SandboxPlace } from '../support/bubblewrap.ts';
import { type GroupBase, hasGroups, limitsGroups, makeGroupBase } from '../support/groups.ts';

const MIB = 1024 * 1024;
const CHILD = fileURLToPath(new URL('./sandbox-groups-child.ts', import.meta.url));

let place: SandboxPlace;
let base: GroupBase;
let groups: Groups;
let sandbox: LeasedSandbox;
let troubles: string[];

async function open(limits: Partial<GroupLimits> = {}): Promise<void> {
  groups = await base.open(limits);
  troubles = [];
  sandbox = createBubblewrapSandbox({
    ...{ environment: process.env, profile: 'strict', program: bubblewrap ?? '', killGraceMs: 100, groups },
    onTrouble: (reason) => troubles.push(reason),
  });
}

function run(script: string, more: Partial<Command> = {}): Promise<CommandResult> {
  const { workspace, scratch } = place;
  const places = { cwd: workspace, writable: [workspace], scratch };
  return sandbox.run({ script, ...places, timeoutMs: 30_000, ...more }, new AbortController().signal);
}

/** The processes of each command's group, but for the shell that waits for the next command. */
function members(): string[][] {
  return readdirSync(groups.directory, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => pidsOf(join(groups.directory, name)))
    .filter((pids) => pids.length > 1);
}

function pidsOf(group: string): string[] {
  return readFileSync(join(group, 'cgroup.procs'), 'utf8').split('\n').filter(Boolean);
}

const begun = () => vi.waitFor(() => expect(existsSync(join(place.workspace, 'begun'))).toBe(true), 20_000);

describe.runIf(hasGroups && bubblewrap !== undefined)('a control group', () => {
  beforeEach(async () => {
    place = makePlace('strict');
    base = await makeGroupBase();
    await open();
  });
  afterEach(async () => {
    await sandbox.close();
    const left = base.list();
    base.remove();
    rmSync(place.path, { recursive: true, force: true });
    expect(left).toEqual([]);
  });

  it('is each command’s own, holds all that it starts, and goes with it', async () => {
    const script =
      'setsid sleep 1000 & (env -i sleep 1000 &) ; touch begun; until [ -e go ]; do sleep 0.01; done';
    const first = run(script);
    await begun();
    rmSync(join(place.workspace, 'begun'));
    const second = run(script);
    await begun();
    const found = members();
    expect(found).toHaveLength(2);
    const comms = found.map((pids) => pids.map((pid) => textAt(`/proc/${pid}/comm`).trim()));
    for (const names of comms) expect(names.filter((name) => name === 'sleep').length).toBeGreaterThan(1);
    for (const names of comms) expect(names).toContain('bwrap');
    writeFileSync(join(place.workspace, 'go'), '');
    for (const { end } of await Promise.all([first, second])) expect(end).toEqual({ type: 'exit', code: 0 });
    expect(members()).toEqual([]);
    expect(troubles).toEqual([]);
  });

  it('does not change what a command is given and gives', async () => {
    const odd = `printf '%s|' "it's" 'a "b" $c \\' "\n"; cat; exit 3`;
    const input = { input: Readable.from(['typed']) };
    for (const more of [{}, input]) {
      const { end, output } = await run(odd, more);
      expect(end).toEqual({ type: 'exit', code: 3 });
      expect(output).toBe(`it's|a "b" $c \\|\n|${more === input ? 'typed' : ''}`);
    }
    const long = `: ${'x'.repeat(MAX_SCRIPT_BYTES - 'echo: \n'.length - 3)}\necho`;
    expect(Buffer.byteLength(long)).toBeLessThanOrEqual(MAX_SCRIPT_BYTES);
    expect(await run(long)).toMatchObject({ end: { type: 'exit', code: 0 }, output: '\n' });
    expect((await run('ls /proc/self/fd | wc -l')).output).toBe('4\n');
    expect((await run('cat /proc/self/cgroup')).output).toMatch(/^0::\/$/m);
  });

  it('is there for each of many at once', async () => {
    const all = await Promise.all(Array.from({ length: 12 }, (_, index) => run(`echo ${index}`)));
    expect(all.map(({ output }) => output)).toEqual(all.map((_, index) => `${index}\n`));
    expect(troubles).toEqual([]);
  });

  it('ends with a command that was ended, whatever it had started', async () => {
    const stop = new AbortController();
    const { workspace, scratch } = place;
    const script = `trap '' TERM; for i in 1 2 3; do (trap '' TERM; setsid env -i sleep 1000 & wait) & done; touch begun; wait`;
    const places = { cwd: workspace, writable: [workspace], scratch, timeoutMs: 30_000 };
    const result = sandbox.run({ script, ...places }, stop.signal);
    await begun();
    stop.abort();
    expect((await result).end).toEqual({ type: 'aborted' });
    expect(members()).toEqual([]);
    expect(pidsIn(workspace)).toEqual([]);
  });

  it('can be killed as a whole, also what is just being started', async () => {
    const bomb = run('touch begun; f() { f & f; }; f 2>/dev/null; sleep 1000');
    await begun();
    const group = await groups.make();
    await group.kill();
    group.close();
    for (const name of readdirSync(groups.directory).filter((each) => /^\d+$/.test(each)))
      killGroup(join(groups.directory, name));
    expect((await bomb).end.type).toBe('signal');
    // The one that waited for a command was killed as well: the next does without, once its death was seen.
    await vi.waitFor(async () => expect((await run('echo on')).output).toBe('on\n'));
  });

  it('that cannot be made leaves a command with its other limits, and is told of', async () => {
    await run('true');
    await sandbox.close();
    // As where a service manager has taken it away.
    expect(existsSync(groups.directory)).toBe(false);
    sandbox = createBubblewrapSandbox({
      ...{ environment: process.env, profile: 'strict', program: bubblewrap ?? '', groups },
      onTrouble: (reason) => troubles.push(reason),
    });
    expect((await run('ulimit -f; cat', { input: Readable.from(['typed']) })).output).toBe('10485760\ntyped');
    expect(troubles[0]).toContain('ENOENT');
  });

  it.runIf(limitsGroups)(
    'ends a command whose processes take too much memory together, and it alone',
    async () => {
      await sandbox.close();
      await open({ memoryBytes: 128 * MIB });
      const take = (mib: number) =>
        `for i in 1 2 3; do head -c ${mib}M /dev/zero | tail -c ${mib}M | (sleep 1; wc -c) & done; wait`;
      const other = run('touch begun; until [ -e go ]; do sleep 0.02; done; echo fine');
      await begun();
      const enough = await run(take(25));
      expect(enough.end).toEqual({ type: 'exit', code: 0 });
      expect((await run(take(70))).end).toEqual({ type: 'limit', limit: 'memory' });
      writeFileSync(join(place.workspace, 'go'), '');
      expect(await other).toMatchObject({ end: { type: 'exit', code: 0 }, output: 'fine\n' });
    },
  );

  it.runIf(limitsGroups)('counts files in memory', async () => {
    await sandbox.close();
    await open({ memoryBytes: 128 * MIB });
    expect((await run('head -c 60M /dev/zero > /dev/shm/a')).end).toEqual({ type: 'exit', code: 0 });
    expect((await run('head -c 200M /dev/zero > /dev/shm/a')).end).toEqual({
      type: 'limit',
      limit: 'memory',
    });
  });

  it.runIf(limitsGroups)('has as many processes as it may, and says how often one was refused', async () => {
    await sandbox.close();
    await open({ processes: 20 });
    const start = (count: number) => `for i in $(seq ${count}); do sleep 1 & done; wait`;
    const enough = await run(start(15));
    expect(enough).toMatchObject({ end: { type: 'exit', code: 0 }, output: '' });
    expect(enough.refusedProcesses).toBeUndefined();
    const { refusedProcesses } = await run(start(25));
    expect(refusedProcesses).toBeGreaterThan(0);
  });

  describe('that a worker has left', () => {
    const namespace = readlinkSync('/proc/self/ns/pid').replace(/\D/g, '');
    let left: ChildProcess | undefined;
    afterEach(() => left?.kill('SIGKILL'));

    it('is ended and removed by the next that starts, where it is gone for certain', async () => {
      const gone = join(base.path, `capybara-${process.pid}-1-${namespace}-00000000`);
      const elsewhere = join(base.path, `capybara-${process.pid}-1-1-00000000`);
      for (const path of [gone, elsewhere]) mkdirSync(path);
      mkdirSync(join(gone, '7'));
      left = spawn('sleep', ['1000']);
      const ended = new Promise((resolve) => left?.once('exit', (_, signal) => resolve(signal)));
      // Where limits are enabled, only the leaves hold processes.
      writeFileSync(join(gone, '7', 'cgroup.procs'), `${left.pid}`);
      const living = groups.directory;
      await (await base.open()).close();
      expect(await ended).toBe('SIGKILL');
      expect(existsSync(gone)).toBe(false);
      expect([living, elsewhere].map((path) => existsSync(path))).toEqual([true, true]);
      rmdirSync(elsewhere);
    });

    it('is ended and removed by its guard', async () => {
      const script = 'setsid env -i sleep 1000 & touch begun; sleep 1000';
      const args = [CHILD, base.path, place.workspace, place.scratch, script];
      const env = { ...process.env, BWRAP: bubblewrap ?? '' };
      left = spawn(process.execPath, args, { env, stdio: 'inherit' });
      await begun();
      expect(base.list()).toHaveLength(2);
      left.kill('SIGKILL');
      await vi.waitFor(() => expect(base.list()).toHaveLength(1), 10_000);
      expect(pidsIn(place.workspace)).toEqual([]);
    });
  });
});

describe.runIf(limitsGroups && bubblewrap !== undefined)('a worker', () => {
  const start = (group: string, place: SandboxPlace, script: string) => {
    const join = `echo $$ > ${group}/cgroup.procs && exec "$0" "$@"`;
    const args = ['-c', join, process.execPath, CHILD, '', place.workspace, place.scratch, script];
    const env = { ...process.env, BWRAP: bubblewrap ?? '' };
    return spawn('/bin/sh', args, { env, stdio: ['ignore', 'pipe', 'inherit'] });
  };

  it('that is given a group of its own, as by Delegate=yes, makes room in it', async () => {
    const own = makePlace('strict');
    const all = await makeGroupBase();
    const group = join(all.path, 'capybara.service');
    mkdirSync(group);
    const child = start(group, own, 'touch begun');
    const said = JSON.parse(await text(child.stdout as Readable));
    expect(said).toMatchObject({ found: group, end: { type: 'exit', code: 0 } });
    expect(said.group).toMatch(/\/capybara\.service\/capybara-worker$/);
    // As the next in this process, or in one that it starts, finds it.
    expect(said.again).toEqual({ works: true, base: group });
    expect(existsSync(join(own.workspace, 'begun'))).toBe(true);
    expect(readdirSync(group).filter((name) => name.startsWith('capybara-'))).toEqual(['capybara-worker']);
    for (const path of [join(group, 'capybara-worker'), group]) rmdirSync(path);
    all.remove();
    rmSync(own.path, { recursive: true });
  });

  it('that shares its group with others’ programs leaves them where they are', async () => {
    const own = makePlace('strict');
    const all = await makeGroupBase();
    const group = join(all.path, 'session.scope');
    mkdirSync(group);
    const other = spawn('sleep', ['1000']);
    writeFileSync(join(group, 'cgroup.procs'), `${other.pid}`);
    const child = start(group, own, 'touch begun');
    expect(await text(child.stdout as Readable)).toBe(`other programs share the control group ${group}`);
    expect(pidsOf(group)).toEqual([`${other.pid}`]);
    other.kill('SIGKILL');
    await once(other, 'exit');
    rmdirSync(group);
    all.remove();
    rmSync(own.path, { recursive: true });
  });
});

it('a model is told which limit a command ran into', () => {
  const result = { output: 'some', droppedBytes: 0, durationMs: 1 };
  const memory = { ...result, end: { type: 'limit', limit: 'memory' } } as const;
  expect(outcomeOf(memory, 30)).toEqual({
    text: expect.stringMatching(/^some\n.*its memory ran out/),
    isError: true,
  });
  const refused = { ...result, end: { type: 'exit', code: 0 }, refusedProcesses: 2 } as const;
  expect(outcomeOf(refused, 30)).toEqual({
    text: expect.stringMatching(/^some\n.*as many processes/),
    isError: false,
  });
  expect(sayEnd(memory.end)).toBe('has ended: it was killed, since its memory ran out');
});

describe('where a process is', () => {
  const V2 = '30 24 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate';
  const HYBRID = `31 24 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n32 24 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw`;
  const BOUND = '40 24 0:26 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup rw';
  it.each([
    [V2, '0::/system.slice/capybara.service\n', '/sys/fs/cgroup/system.slice/capybara.service'],
    [V2, '0::/\n', '/sys/fs/cgroup'],
    [HYBRID, '4:memory:/x\n0::/user.slice\n', '/sys/fs/cgroup/unified/user.slice'],
    [BOUND, '0::/docker/abc/inner\n', '/sys/fs/cgroup/inner'],
    [BOUND, '0::/docker/abcd\n', undefined],
    [V2, '0::/../other\n', undefined],
    ['31 24 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory', '4:memory:/x\n', undefined],
    ['', '', undefined],
  ])('among the control groups is read from /proc (%#)', (mountinfo, cgroup, directory) => {
    expect(ownGroup(mountinfo, cgroup)?.directory).toBe(directory);
  });

  it('there can be groups with limits, or it is said why not, and what to do', () => {
    const found = findGroupPlace(['memory', 'pids']);
    const sentence = groupsSentence(found);
    if (found.works) expect(sentence).toContain(`below ${found.base}`);
    else expect(sentence).toMatch(/limited for each process of one alone: .+; to limit it as a whole, .+\.$/);
  });
});
