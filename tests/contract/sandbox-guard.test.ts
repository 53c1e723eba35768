import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, readFile, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createUnconfinedSandbox } from '../../src/sandbox/unconfined.ts';
import type { Profile } from '../../src/sandbox/view.ts';
import { bubblewrap, makePlace, pidsIn } from '../support/bubblewrap.ts';
import { containersOf, docker } from '../support/docker.ts';
import { runtime } from '../support/runtime.ts';

const here = fileURLToPath(new URL('.', import.meta.url));
const source = join(here, '../../src/sandbox');
const SCRIPT = `
  setsid bash -c 'echo $$ > outside; trap "" TERM; while :; do date +%N >> beats; sleep 0.02; done' >/dev/null 2>&1 &
  env -i bash -c 'echo $$ > inside; sleep 1000; :' &
  setsid env -i bash -c 'echo $$ > bare; sleep 1000; :' >/dev/null 2>&1 &
  until [ -s outside ] && [ -s inside ] && [ -s bare ]; do sleep 0.02; done
  echo $$ > shell
  sleep 1000`;

let cwd: string;
let worker: ChildProcess;
let said = '';

beforeEach(async () => {
  cwd = await realpath(await mkdtemp(join(tmpdir(), 'capybara-guard-')));
});

afterEach(async () => {
  worker?.kill('SIGKILL');
  if (worker) await vi.waitFor(() => expect(guardOf(worker)).toBeUndefined(), 10_000);
  await rm(cwd, { recursive: true, force: true });
});

function startWorker({
  code = source,
  extension = '.ts',
  lease = 0,
  profile = 'none',
  scratch = cwd,
  finder = 'proc',
  by = 'bubblewrap',
} = {}): void {
  const child = join(here, 'sandbox-child.ts');
  const args = [child, code, extension, cwd, SCRIPT, `${lease}`, profile, scratch, finder];
  const confines = {
    bubblewrap: { BWRAP: bubblewrap ?? '' },
    runtime: { RUNTIME: JSON.stringify(runtime) },
    docker: { DOCKER_ENGINE: JSON.stringify(docker) },
  }[by];
  const env = { ...process.env, ...confines };
  worker = spawn(process.execPath, args, { env, stdio: ['ignore', 'pipe', 'inherit'] });
  said = '';
  worker.stdout?.on('data', (text) => {
    said += text;
  });
}

/** The pids of the shell, of a child without environment, of one that left session and group, and of one that did both. */
async function commandPids(): Promise<string[]> {
  return vi.waitFor(async () => {
    const texts = await Promise.all(
      ['shell', 'inside', 'outside', 'bare'].map((name) => readFile(join(cwd, name), 'utf8')),
    );
    for (const text of texts) expect(text).toMatch(/^\d+\n$/);
    return texts.map((text) => text.trim());
  }, 15_000);
}

function isRunning(pid: string): boolean {
  return !['', 'Z', 'X'].includes(status(pid, 'State').slice(0, 1));
}

function status(pid: string, key: string): string {
  try {
    return new RegExp(`^${key}:\\s+(.*)$`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? '';
  } catch {
    return '';
  }
}

const guards = new WeakMap<ChildProcess, string>();

/** The pid of a worker's guard, also when its worker is dead. */
function guardOf(of: ChildProcess): string | undefined {
  const known = guards.get(of);
  if (known !== undefined) return isRunning(known) ? known : undefined;
  const found = readdirSync('/proc').find((pid) => {
    if (!/^\d+$/.test(pid) || status(pid, 'PPid') !== `${of.pid}`) return false;
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('guard-process');
  });
  if (found !== undefined) guards.set(of, found);
  return found;
}

async function expectAllDead(pids: string[]): Promise<void> {
  await vi.waitFor(() => expect(pids.filter(isRunning)).toEqual([]), 10_000);
}

describe.runIf(process.platform === 'linux')('the guard', () => {
  it('kills every process of a worker that was killed, then goes', async () => {
    startWorker();
    const pids = await commandPids();
    const guard = guardOf(worker) as string;
    expect(pids.filter(isRunning)).toEqual(pids);
    worker.kill('SIGKILL');
    await expectAllDead([...pids, guard]);
  });

  it('does so from the built JavaScript too', async () => {
    const dist = join(cwd, 'dist');
    const root = join(here, '../..');
    const tsc = join(root, 'node_modules/typescript/bin/tsc');
    execFileSync(process.execPath, [
      tsc,
      '-p',
      join(root, 'tsconfig.build.json'),
      '--outDir',
      dist,
      '--noCheck',
    ]);
    startWorker({ code: join(dist, 'sandbox'), extension: '.js' });
    const pids = await commandPids();
    const guard = guardOf(worker) as string;
    expect(readFileSync(`/proc/${guard}/cmdline`, 'utf8')).toContain('guard-process.js');
    worker.kill('SIGKILL');
    await expectAllDead([...pids, guard]);
  });

  it('outlives the signals of a terminal and of a service manager as long as its worker lives', async () => {
    startWorker();
    const pids = await commandPids();
    const guard = guardOf(worker) as string;
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.kill(Number(guard), signal);
    expect(status(guard, 'NSsid')).not.toBe(status(`${worker.pid}`, 'NSsid'));
    expect(readFileSync(`/proc/${guard}/environ`, 'utf8')).toMatch(/^(NODE_COMPILE_CACHE=[^\0]*\0)?$/);
    worker.kill('SIGKILL');
    await expectAllDead([...pids, guard]);
  });

  it('is replaced when it is killed, and the new one knows the commands', async () => {
    startWorker();
    const pids = await commandPids();
    const guard = guardOf(worker) as string;
    process.kill(Number(guard), 'SIGKILL');
    await vi.waitFor(() => expect(isRunning(guard)).toBe(false), 10_000);
    guards.delete(worker);
    const next = await vi.waitFor(() => {
      const found = guardOf(worker);
      expect(found).toBeDefined();
      return found as string;
    }, 10_000);
    worker.kill('SIGKILL');
    await expectAllDead([...pids, next]);
  });

  it('kills the commands of a stopped worker when its lease ends, and not before', async () => {
    startWorker({ lease: 1_000 });
    const pids = await commandPids();
    const fed = performance.now() + 1_500;
    await vi.waitFor(() => expect(performance.now()).toBeGreaterThan(fed), 5_000);
    expect(pids.filter(isRunning)).toEqual(pids);
    worker.kill('SIGSTOP');
    await expectAllDead(pids);
    expect(guardOf(worker)).toBeDefined();
    worker.kill('SIGCONT');
    await vi.waitFor(() => expect(said).toBe('started\n{"type":"signal","signal":"SIGKILL"}\n'), 10_000);
    await vi.waitFor(() => expect(worker.exitCode).toBe(0), 10_000);
  });

  it('that cannot be started lets no command run', async () => {
    const node = process.execPath;
    for (const program of ['/bin/false', join(cwd, 'gone')]) {
      process.execPath = program;
      const sandbox = createUnconfinedSandbox({ environment: process.env });
      try {
        const command = { script: 'touch started', cwd, writable: [cwd], scratch: cwd, timeoutMs: 10_000 };
        await expect(sandbox.run(command, new AbortController().signal)).rejects.toThrow(
          'The guard process ended 3 times right after its start, so no command may run.',
        );
      } finally {
        process.execPath = node;
        await sandbox.close();
      }
    }
    expect(readdirSync(cwd)).toEqual([]);
  });

  it('lets a command run again when the worker has come back', async () => {
    const sandbox = createUnconfinedSandbox({ environment: process.env, leaseMs: 1_000 });
    const run = (script: string) =>
      sandbox.run(
        { script, cwd, writable: [cwd], scratch: cwd, timeoutMs: 10_000 },
        new AbortController().signal,
      );
    try {
      expect((await run('sleep 5')).end).toEqual({ type: 'signal', signal: 'SIGKILL' });
      const beats = setInterval(() => sandbox.feed(), 30);
      sandbox.feed();
      expect((await run('sleep 2')).end).toEqual({ type: 'exit', code: 0 });
      clearInterval(beats);
    } finally {
      await sandbox.close();
    }
  });
});

describe.runIf(process.platform === 'linux')('the guard of a system without /proc', () => {
  it('kills every process of a worker that was killed, then goes', async () => {
    startWorker({ finder: 'ps' });
    const pids = await commandPids();
    const guard = guardOf(worker) as string;
    worker.kill('SIGKILL');
    await expectAllDead([...pids, guard]);
  });

  it('kills the commands of a stopped worker when its lease ends, and the worker can go on', async () => {
    startWorker({ finder: 'ps', lease: 1_000 });
    const pids = await commandPids();
    worker.kill('SIGSTOP');
    await expectAllDead(pids);
    expect(guardOf(worker)).toBeDefined();
    worker.kill('SIGCONT');
    await vi.waitFor(() => expect(said).toBe('started\n{"type":"signal","signal":"SIGKILL"}\n'), 10_000);
    await vi.waitFor(() => expect(worker.exitCode).toBe(0), 10_000);
  });
});

const confining = [
  ...(bubblewrap === undefined ? [] : ['bubblewrap']),
  ...(runtime === undefined ? [] : ['runtime']),
];

describe.each(confining)('around %s', (by) => {
  const profiles: readonly Profile[] = ['strict', 'local'];

  /** Pids as the host sees them: the command's own numbers are of another namespace. */
  async function begin(profile: Profile, lease: number): Promise<string[]> {
    await rm(cwd, { recursive: true });
    // The runtime's commands are the worker's own user.
    const place = makePlace(by === 'runtime' ? 'local' : profile);
    cwd = place.workspace;
    startWorker({ profile, lease, scratch: place.scratch, by });
    await commandPids();
    return pidsIn(cwd);
  }

  afterEach(async () => {
    await rm(dirname(cwd), { recursive: true, force: true });
  });

  it.each(profiles)('a %s command dies with a worker that was killed', async (profile) => {
    const pids = await begin(profile, 0);
    expect(pids.length).toBeGreaterThan(4);
    worker.kill('SIGKILL');
    await expectAllDead(pids);
    await vi.waitFor(() => expect(pidsIn(cwd)).toEqual([]), 5_000);
  });

  it.each(profiles)(
    'a %s command dies with the lease of a stopped worker, and not before',
    async (profile) => {
      const pids = await begin(profile, 1_000);
      const fed = performance.now() + 1_300;
      await vi.waitFor(() => expect(performance.now()).toBeGreaterThan(fed), 5_000);
      expect(pids.filter(isRunning).length).toBeGreaterThan(4);
      worker.kill('SIGSTOP');
      await vi.waitFor(() => expect(pidsIn(cwd)).toEqual([]), 10_000);
      worker.kill('SIGCONT');
      await vi.waitFor(() => expect(said).toBe('started\n{"type":"signal","signal":"SIGKILL"}\n'), 10_000);
      await vi.waitFor(() => expect(worker.exitCode).toBe(0), 10_000);
    },
  );
});

describe.runIf(docker !== undefined)('around docker', () => {
  let scratch: string;

  function begin(lease: number): void {
    const place = makePlace('strict');
    ({ workspace: cwd, scratch } = place);
    startWorker({ profile: 'docker', lease, scratch });
  }

  const left = () => [...pidsIn(cwd), ...containersOf(docker ?? expect.unreachable(), scratch)];

  beforeEach(() => rm(cwd, { recursive: true }));
  afterEach(() => rm(dirname(cwd), { recursive: true, force: true }));

  it('a command dies with a worker that was killed, whatever it left and cleared', async () => {
    begin(0);
    await commandPids();
    expect(pidsIn(cwd).length).toBeGreaterThan(4);
    worker.kill('SIGKILL');
    await vi.waitFor(() => expect(left()).toEqual([]), 10_000);
  });

  it('and with one that was killed together with its guard', async () => {
    begin(0);
    await commandPids();
    worker.kill('SIGSTOP');
    process.kill(Number(guardOf(worker)), 'SIGKILL');
    worker.kill('SIGKILL');
    await vi.waitFor(() => expect(left()).toEqual([]), 10_000);
  });

  it('and so does one that was only about to begin', async () => {
    for (const ms of [0, 50, 100, 150, 200, 300]) {
      begin(0);
      await vi.waitFor(() => expect(said).toBe('started\n'), 10_000);
      await new Promise((resolve) => setTimeout(resolve, ms));
      const guard = guardOf(worker);
      worker.kill('SIGKILL');
      await vi.waitFor(() => expect(guard !== undefined && isRunning(guard)).toBe(false), 10_000);
      expect(left(), `after ${ms} ms`).toEqual([]);
      await rm(dirname(cwd), { recursive: true, force: true });
    }
  });

  it('a command dies with the lease of a stopped worker, and not before', async () => {
    begin(1_000);
    await commandPids();
    const fed = performance.now() + 1_300;
    await vi.waitFor(() => expect(performance.now()).toBeGreaterThan(fed), 5_000);
    expect(pidsIn(cwd).length).toBeGreaterThan(4);
    worker.kill('SIGSTOP');
    await vi.waitFor(() => expect(left()).toEqual([]), 10_000);
    worker.kill('SIGCONT');
    await vi.waitFor(() => expect(said).toBe('started\n{"type":"signal","signal":"SIGKILL"}\n'), 10_000);
    await vi.waitFor(() => expect(worker.exitCode).toBe(0), 10_000);
  });
});
