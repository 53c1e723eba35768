/** What docker adds to the contract that all sandboxes share (`sandbox.test.ts`). */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { endOrphans } from '../../src/sandbox/containers.ts';
import { installGitSetup } from '../../src/sandbox/git-setup.ts';
import { UNPRIVILEGED } from '../../src/sandbox/runner.ts';
import type { Command, CommandResult, LeasedSandbox } from '../../src/sandbox/sandbox.ts';
import { makePlace, pidsIn, type SandboxPlace } from '../support/bubblewrap.ts';
import { containersOf, docker, dockerSays, openDocker } from '../support/docker.ts';
import { EngineLine } from '../support/engine-line.ts';
import { hasOrdinaryUser, ordinaryUser } from '../support/ordinary-user.ts';

const isRoot = process.getuid?.() === 0;
const never = new AbortController().signal;
let place: SandboxPlace;
let sandbox: LeasedSandbox;
let line: EngineLine | undefined;

function start(options: Partial<Parameters<typeof openDocker>[0]> = {}): void {
  sandbox = openDocker({ directory: join(place.path, 'docker'), killGraceMs: 100, ...options });
}

function run(script: string, more: Partial<Command> = {}, signal = never): Promise<CommandResult> {
  const { workspace, scratch } = place;
  const places = { cwd: workspace, writable: [workspace], scratch };
  return sandbox.run({ script, ...places, timeoutMs: 20_000, ...more }, signal);
}

/** Of this test's sessions. */
const left = () => containersOf(docker ?? expect.unreachable(), place.scratch);

describe.runIf(docker !== undefined)('docker', () => {
  beforeEach(() => {
    place = makePlace('strict');
    start();
  });
  afterEach(async () => {
    await line?.heal();
    await sandbox.close();
    await line?.close();
    line = undefined;
    expect(left()).toEqual([]);
    expect(pidsIn(place.workspace)).toEqual([]);
    rmSync(place.path, { recursive: true, force: true });
  });

  it('shows a command its workspace and its image, and nothing else of the host', async () => {
    const { output } = await run(
      'ls / | tr "\\n" " "; ls /home; ls -A ~; whoami; uname -n; touch /x /usr/x ~/y',
    );
    expect(output).toMatch(/^bin dev etc home /);
    expect(output).toContain(
      "capybara\ncapybara\ncapybara\ntouch: cannot touch '/x': Read-only file system\n" +
        "touch: cannot touch '/usr/x': Read-only file system\n",
    );
    expect(existsSync(join(place.scratch, 'home/y'))).toBe(true);
  });

  it('keeps the home of a session from one command to the next, and gives another session another', async () => {
    await run('mkdir -p ~/.cache/tool && echo kept > ~/.cache/tool/file');
    expect((await run('cat ~/.cache/tool/file')).output).toBe('kept\n');
    const other = await run('ls -A ~', { scratch: `${place.scratch}-other` });
    expect(other.output).toBe('');
  });

  it('shows what is readable, within what is writable too, and lets it be read only', async () => {
    const [shared, inner] = [join(place.path, 'shared'), join(place.workspace, '.git/hooks')];
    for (const path of [shared, inner]) mkdirSync(path, { recursive: true });
    const { output } = await run(`touch ${shared}/file ${inner}/file; mv .git moved; touch own && echo own`, {
      writable: [place.workspace, join(place.workspace, '.git')],
      readable: [shared, inner],
    });
    expect(output.match(/Read-only file system/g)).toHaveLength(2);
    expect(output).toMatch(/cannot move '.git'.*\nown\n$/);
  });

  it('may only look where nothing is writable', async () => {
    const { output } = await run('touch file; ls -d .', { writable: [], readable: [place.workspace] });
    expect(output).toBe("touch: cannot touch 'file': Read-only file system\n.\n");
  });

  it('shows a directory by its other name too', async () => {
    const link = join(place.path, 'files');
    symlinkSync(place.workspace, link);
    const { output } = await run('pwd; echo in >file; cat file', {
      link: { path: link, to: place.workspace },
      cwd: place.workspace,
      env: { PWD: link },
    });
    expect(output).toMatch(/\nin\n$/);
    expect((await run(`cat ${link}/file`, { link: { path: link, to: place.workspace } })).output).toBe(
      'in\n',
    );
  });

  it('mounts names with commas, quotes and spaces in them', async () => {
    const odd = join(place.workspace, 'a, "b" target=c');
    mkdirSync(odd);
    expect((await run('pwd; ls -a', { cwd: odd, writable: [], readable: [odd] })).output).toBe(
      `${odd}\n.\n..\n`,
    );
  });

  it('refuses a place that is reached by a symlink', async () => {
    const link = join(place.path, 'link');
    symlinkSync(place.workspace, link);
    await expect(run('true', { writable: [link] })).rejects.toThrow(`which leads to ${place.workspace}`);
  });

  it('lets commands use what their limits say', async () => {
    await sandbox.close();
    const memoryBytes = 256 * 1024 * 1024;
    start({
      limits: { openFiles: 99, fileBytes: 1_048_576, cpuSeconds: 77, processes: 20, memoryBytes },
    });
    const { output } = await run(
      'ulimit -n; ulimit -f; ulimit -t; ulimit -d; ulimit -c; head -c 1048576 /dev/zero > full; stat -c %s full',
    );
    expect(output.split('\n').slice(0, 6)).toEqual(['99', '1024', '77', '262144', '0', '1048576']);
    expect((await run('head -c 1048577 /dev/zero > over; stat -c %s over')).output).toMatch(/1048576\n$/);
    const forks = await run(
      'for i in {1..10}; do sleep 5 & done; echo ten; for i in {1..20}; do sleep 5 & done; jobs -p | wc -l',
    );
    expect(forks.output).toMatch(/^ten\n.*fork/);
    // Three that have less than it each.
    const hungry = `perl -e '$n = ${110 * 1024 * 1024}; $x = "x" x $n; sleep 3'`;
    const together = await run(`${hungry} & ${hungry} & ${hungry} & wait; echo on`);
    expect(together.output).toMatch(/Killed/);
  });

  it.runIf(isRoot)('started by root runs as somebody else, whose the files are', async () => {
    await run('touch file');
    expect(statSync(join(place.workspace, 'file')).uid).toBe(UNPRIVILEGED.uid);
    expect((await run('id -u; id -g')).output).toBe(`${UNPRIVILEGED.uid}\n${UNPRIVILEGED.gid}\n`);
  });

  it.runIf(hasOrdinaryUser)(
    'started by an ordinary user who may ask the engine runs as that user',
    async () => {
      const own = makePlace('local');
      // By a socket of their own, as whoever is in its group.
      line = await EngineLine.open(docker ?? expect.unreachable(), join(own.path, 'engine'));
      chmodSync(join(own.path, 'engine'), 0o777);
      const { uid = process.getuid?.() ?? 0, gid = process.getgid?.() ?? 0 } = ordinaryUser;
      for (const path of [own.path, own.workspace]) chownSync(path, uid, gid);
      const code = fileURLToPath(new URL('../../src/sandbox', import.meta.url));
      const script = 'echo "$(id -u) $(whoami)" >said';
      const child = fileURLToPath(new URL('./sandbox-child.ts', import.meta.url));
      const args = [child, code, '.ts', own.workspace, script, '0', 'docker', own.scratch];
      const DOCKER_ENGINE = JSON.stringify({ ...docker, host: line.host });
      const env = { ...process.env, DOCKER_ENGINE, TMPDIR: own.path, NODE_COMPILE_CACHE: '' };
      try {
        const { stdout } = await promisify(execFile)(process.execPath, args, {
          ...ordinaryUser,
          env,
          cwd: '/',
        });
        expect(stdout).toBe('started\n{"type":"exit","code":0}\n');
        expect(readFileSync(join(own.workspace, 'said'), 'utf8')).toBe(`${uid} capybara\n`);
      } finally {
        rmSync(own.path, { recursive: true, force: true });
      }
    },
  );

  it('makes the commits of commands an agent’s', async () => {
    await sandbox.close();
    start({ git: installGitSetup(join(place.path, 'git')) });
    await run('git init -q . && git commit -q --allow-empty -m One');
    const { output } = await run('git log --format="%an%n%B"');
    expect(output).toBe('Capybara Vibe\nOne\n\nCo-authored-by: Capybara Vibe <agent@capybara.ai>\n\n');
  });

  it('says why where it cannot begin', async () => {
    await sandbox.close();
    start({ engine: { ...(docker ?? expect.unreachable()), image: 'capybara-test:gone' } });
    await expect(run('true')).rejects.toThrow(/^Docker could not run the command.*capybara-test:gone/);
  });

  it('takes an exit code of a command for its own, whatever the engine means by it', async () => {
    for (const code of [125, 126, 127]) {
      expect(await run(`echo said >&2; exit ${code}`)).toMatchObject({
        end: { type: 'exit', code },
        output: 'said\n',
      });
    }
  });

  it('has nothing in it that a command must wait for, and nothing that lets it say that its worker lives', async () => {
    const { output } = await run(`perl -e '1 while wait() != -1; print "all\\n"'; : >>/.capybara-alive`);
    expect(output).toMatch(/^all\nbash: line 1: \/.capybara-alive: Permission denied\n$/);
    expect(readdirSync(join(place.path, 'docker')).filter((name) => name.startsWith('alive-'))).toHaveLength(
      1,
    );
    await sandbox.close();
    expect(readdirSync(join(place.path, 'docker')).filter((name) => name.startsWith('alive-'))).toEqual([]);
    writeFileSync(join(place.path, 'docker', 'alive-other-boot_77_88.1'), '');
    start();
    expect(readdirSync(join(place.path, 'docker'))).not.toContain('alive-other-boot_77_88.1');
  });

  it('leaves no container, whenever a command is stopped', async () => {
    for (const ms of [0, 40, 80, 120, 160, 200, 300, 500]) {
      const stop = AbortSignal.timeout(ms);
      const result = await run('trap "" TERM; setsid sleep 100 & sleep 100', {}, stop);
      expect(result.end).toEqual({ type: 'aborted' });
      expect(left(), `after ${ms} ms`).toEqual([]);
      expect(pidsIn(place.workspace)).toEqual([]);
    }
  });
});

describe.runIf(docker !== undefined)('an engine that goes away', () => {
  beforeEach(async () => {
    place = makePlace('strict');
    line = await EngineLine.open(docker ?? expect.unreachable(), join(place.path, 'engine'));
    start({ engine: { ...(docker ?? expect.unreachable()), host: line.host } });
  });
  afterEach(async () => {
    await line?.heal();
    await sandbox.close();
    await line?.close();
    line = undefined;
    await vi.waitFor(() => expect(left()).toEqual([]), 10_000);
    rmSync(place.path, { recursive: true, force: true });
  });

  it('ends the command, says so, and leaves the next one alone when it is back', async () => {
    const result = run('echo up; touch begun; setsid sleep 100 & sleep 100');
    const failed = expect(result).rejects.toThrow(/^Docker does not answer any more \(.+\)\. What was seen/);
    await vi.waitFor(() => expect(existsSync(join(place.workspace, 'begun'))).toBe(true), 10_000);
    line?.cut();
    await failed;
    expect(pidsIn(place.workspace)).toEqual([]);
    await expect(run('true')).rejects.toThrow(/^Docker /);
    await line?.heal();
    expect((await run('echo back')).output).toBe('back\n');
    await vi.waitFor(() => expect(left()).toEqual([]), 10_000);
  });
});

describe.runIf(docker !== undefined)('what a dead worker left', () => {
  const children: ChildProcess[] = [];
  beforeEach(() => {
    place = makePlace('strict');
  });
  afterEach(() => {
    for (const child of children.splice(0)) child.kill('SIGKILL');
    rmSync(place.path, { recursive: true, force: true });
  });

  /** As a worker would have left it whose guard died too. */
  function leave(owner: string): void {
    const engine = docker ?? expect.unreachable();
    const labels = [`capybara.process=${owner}`, `capybara.scratch=${place.scratch}`];
    const options = labels.flatMap((label) => ['--label', label]);
    dockerSays(
      engine,
      ...['run', '--detach', '--rm', '--network', 'none', ...options, engine.image, 'sleep', '1000'],
    );
  }

  it('is removed by the next that starts, what is another’s stays', async () => {
    const engine = docker ?? expect.unreachable();
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
    const other = spawn('sleep', ['1000'], { stdio: 'ignore' });
    children.push(other);
    const stat = readFileSync(`/proc/${other.pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
    const alive = `${boot}/${other.pid}/${stat[19]}`;
    leave(alive);
    for (const owner of [
      `${boot}/${other.pid}/1`,
      `${boot}/4194304/77`,
      `another-boot/${other.pid}/${stat[19]}`,
    ])
      leave(owner);
    expect(left()).toHaveLength(4);
    await endOrphans(engine);
    expect(left()).toHaveLength(1);
    other.kill('SIGKILL');
    await vi.waitFor(() => expect(other.signalCode).toBe('SIGKILL'), 5_000);
    const next = openDocker({ directory: join(place.path, 'docker') });
    await vi.waitFor(() => expect(left()).toEqual([]), 20_000);
    await next.close();
  });
});
