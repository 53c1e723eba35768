import { readFileSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createBubblewrapSandbox } from '../../src/sandbox/bubblewrap.ts';
import { type CallOptions, MAX_SCRIPT_BYTES } from '../../src/sandbox/calls.ts';
import { createRuntimeSandbox } from '../../src/sandbox/runtime.ts';
import type { Command, CommandResult, LeasedSandbox } from '../../src/sandbox/sandbox.ts';
import { createUnconfinedSandbox } from '../../src/sandbox/unconfined.ts';
import type { Profile } from '../../src/sandbox/view.ts';
import { bubblewrap, makePlace, pidsIn, type SandboxPlace } from '../support/bubblewrap.ts';
import { docker, openDocker } from '../support/docker.ts';
import { runtime } from '../support/runtime.ts';

const linux = process.platform === 'linux';
const never = new AbortController().signal;
let place: SandboxPlace;
let cwd: string;
let sandbox: LeasedSandbox;

type KindName = 'none' | Profile | `runtime ${Profile}` | 'docker';
const KINDS: readonly KindName[] = [
  'none',
  ...(bubblewrap === undefined ? [] : (['strict', 'local'] as const)),
  ...(runtime === undefined ? [] : (['runtime strict', 'runtime local'] as const)),
  ...(docker === undefined ? [] : (['docker'] as const)),
];

function create(kind: KindName, options: Partial<CallOptions> = {}): LeasedSandbox {
  const shared = { environment: process.env, ...options };
  if (kind === 'none') return createUnconfinedSandbox(shared);
  if (kind === 'docker') return openDocker({ ...shared, directory: join(place.path, 'docker') });
  if (kind === 'runtime strict' || kind === 'runtime local') {
    const profile = kind === 'runtime strict' ? 'strict' : 'local';
    return createRuntimeSandbox({ ...shared, profile, programs: runtime ?? { rg: '' } });
  }
  return createBubblewrapSandbox({ ...shared, profile: kind, program: bubblewrap ?? '' });
}

function run(script: string, more: Partial<Command> = {}, signal = never): Promise<CommandResult> {
  return sandbox.run(
    { script, cwd, writable: [cwd], scratch: place.scratch, timeoutMs: 20_000, ...more },
    signal,
  );
}

/** Waits until the command wrote the file, then gives its text. */
async function written(name: string): Promise<string> {
  return vi.waitFor(async () => {
    const text = await readFile(join(cwd, name), 'utf8');
    expect(text).toMatch(/\n$/);
    return text.trim();
  }, 10_000);
}

function isRunning(pid: string): boolean {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

describe.each(KINDS)('%s:', (kind) => {
  /** Until a command has surely begun: a container takes its time. */
  const soonMs = kind === 'docker' ? 3_000 : 300;

  beforeEach(() => {
    place = makePlace(kind === 'strict' || kind === 'docker' ? 'strict' : 'local');
    cwd = place.workspace;
    sandbox = create(kind);
  });

  afterEach(async () => {
    await sandbox.close();
    expect(pidsIn(cwd)).toEqual([]);
    await rm(place.path, { recursive: true, force: true });
  });

  describe('a command', () => {
    it('gives its exit code, and its output with errors where they happened', async () => {
      const result = await run('echo one; echo two >&2; echo three; exit 3');
      expect(result).toMatchObject({
        end: { type: 'exit', code: 3 },
        output: 'one\ntwo\nthree\n',
        droppedBytes: 0,
      });
      expect(result.durationMs).toBeGreaterThan(0);
    });

    it('runs in its directory, by bash', async () => {
      expect((await run('pwd; [[ a == a ]] && echo bash')).output).toBe(`${cwd}\nbash\n`);
    });

    it('that is no shell syntax gives the message of the shell', async () => {
      const result = await run('if if');
      expect(result.end).toEqual({ type: 'exit', code: 2 });
      expect(result.output).toContain('syntax error');
    });

    it('that does not exist gives code 127', async () => {
      expect((await run('no-such-program-here')).end).toEqual({ type: 'exit', code: 127 });
    });

    it('that dies by a signal says by which', async () => {
      const end = kind === 'none' ? { type: 'signal', signal: 'SIGSEGV' } : { type: 'exit', code: 128 + 11 };
      expect((await run('kill -SEGV $$')).end).toEqual(end);
    });

    it('that reads finds the end of its input at once', async () => {
      expect(await run('cat; read x; echo "read: $?"')).toMatchObject({ output: 'read: 1\n' });
    });

    it('that closes its output runs to its end', async () => {
      const result = await run('exec >&- 2>&-; sleep 0.2; touch done; exit 4');
      expect(result.end).toEqual({ type: 'exit', code: 4 });
      await readFile(join(cwd, 'done'));
    });

    it('sends its output as it comes', async () => {
      const seen: string[] = [];
      const first = Promise.withResolvers<void>();
      const result = run('echo first; until [ -e go ]; do sleep 0.02; done; echo last', {
        onOutput: (text) => {
          seen.push(text);
          first.resolve();
        },
      });
      await first.promise;
      expect(seen).toEqual(['first\n']);
      await run('touch go');
      expect((await result).output).toBe('first\nlast\n');
      expect(seen.join('')).toBe('first\nlast\n');
    });

    it('is decoded across the borders of its writes, and shows bytes that are no text', async () => {
      const split = await run("printf 'a\\xf0\\x9f'; sleep 0.1; printf '\\x98\\x80b'");
      expect(split.output).toBe('a😀b');
      expect((await run("printf '\\xffz\\xe2\\x82'")).output).toBe('\ufffdz\ufffd');
    });
  });

  describe('the limit of the output', () => {
    it('keeps as much as the limit says, and counts the rest', async () => {
      await sandbox.close();
      sandbox = create(kind, { maxOutputBytes: 10 });
      expect(await run("printf '1234567890'")).toMatchObject({ output: '1234567890', droppedBytes: 0 });
      expect(await run("printf '12345678901'")).toMatchObject({ output: '1234567890', droppedBytes: 1 });
      expect(await run("printf '123456789€'")).toMatchObject({ output: '123456789', droppedBytes: 2 });
    });

    it('bounds the memory that an endless talker takes', async () => {
      const before = process.memoryUsage().rss;
      const result = await run('head -c 300000000 /dev/zero', { timeoutMs: 60_000 });
      expect(result.output.length).toBe(8 * 1024 * 1024);
      expect(result.droppedBytes).toBe(300_000_000 - 8 * 1024 * 1024);
      expect(process.memoryUsage().rss - before).toBeLessThan(150e6);
    });
  });

  describe('the environment of a command', () => {
    it('holds nothing of the worker but harmless names', async () => {
      await sandbox.close();
      const secrets = {
        DATABASE_URL: 'x',
        ANTHROPIC_API_KEY: 'x',
        CAPYBARA_API_KEY: 'x',
        AWS_SECRET_ACCESS_KEY: 'x',
      };
      sandbox = create(kind, {
        environment: { PATH: process.env.PATH, HOME: place.path, LANG: '', NODE_OPTIONS: 'x', ...secrets },
      });
      const names = (await run('env | cut -d= -f1 | sort', { env: { ADDED: '1' } })).output
        .trim()
        .split('\n');
      const shells = ['OLDPWD', 'PWD', 'SHLVL', '_'];
      const engines = kind === 'docker' ? ['HOSTNAME'] : [];
      const privates =
        kind === 'none' ? [] : [...engines, 'TMPDIR', 'XDG_CACHE_HOME', 'LOGNAME', 'SHELL', 'USER'];
      expect(names.filter((name) => ![...shells, ...privates].includes(name))).toEqual([
        'ADDED',
        'CAPYBARA_CALL',
        'CAPYBARA_WORKER',
        'GIT_PAGER',
        'GIT_TERMINAL_PROMPT',
        'HOME',
        'LANG',
        'PAGER',
        'PATH',
        'TERM',
      ]);
      const own = '/home/capybara';
      const homes = { strict: own, docker: own, 'runtime strict': join(place.scratch, 'home') };
      const home = kind in homes ? homes[kind as keyof typeof homes] : place.path;
      expect((await run('echo $TERM $HOME')).output).toBe(`dumb ${home}\n`);
    });

    it('has a home though the worker has none', async () => {
      await sandbox.close();
      for (const HOME of ['/', '/no/such/place']) {
        sandbox = create(kind, { environment: { PATH: process.env.PATH, HOME } });
        const own = '/home/capybara';
        const ofRuntime = (name: string) => join(place.scratch, name);
        const home = {
          ...{ none: HOME, strict: own, docker: own, local: '/tmp' },
          ...{ 'runtime strict': ofRuntime('home'), 'runtime local': ofRuntime('tmp') },
        }[kind];
        expect((await run('echo $HOME')).output).toBe(`${home}\n`);
        await sandbox.close();
      }
    });

    it('has a PATH where the worker has none', async () => {
      await sandbox.close();
      sandbox = create(kind, { environment: {} });
      expect((await run('ls -d /')).output).toBe('/\n');
    });
  });

  describe('a command that should end', () => {
    it('ends at its time-out, with what it said', async () => {
      const result = await run('echo started; sleep 100', { timeoutMs: soonMs });
      expect(result).toMatchObject({ end: { type: 'timeout' }, output: 'started\n' });
      expect(result.durationMs).toBeLessThan(soonMs + 5_000);
    });

    it('may tidy up at SIGTERM', async () => {
      const result = await run("trap 'echo tidy; exit 0' TERM; echo up; while :; do sleep 0.02; done", {
        timeoutMs: soonMs,
      });
      expect(result.end).toEqual({ type: 'timeout' });
      expect(result.output).toMatch(/^up\n(Terminated\n)?tidy\n$/);
    });

    it('ends soon after an abort though it ignores SIGTERM, with all it started', async () => {
      const abort = new AbortController();
      const result = run(
        "trap '' TERM; (trap '' TERM; sleep 100) & setsid sleep 100 & echo $! > pids; while :; do sleep 1; done",
        {},
        abort.signal,
      );
      const pid = await written('pids');
      const start = performance.now();
      abort.abort();
      expect((await result).end).toEqual({ type: 'aborted' });
      expect(performance.now() - start).toBeLessThan(5_000);
      if (kind === 'none' && linux) expect(isRunning(pid)).toBe(false);
      expect(pidsIn(cwd)).toEqual([]);
    });

    it('does not start when the signal is aborted before', async () => {
      const result = await run('touch started', {}, AbortSignal.abort());
      expect(result).toMatchObject({ end: { type: 'aborted' }, output: '' });
      await expect(readFile(join(cwd, 'started'))).rejects.toThrow('ENOENT');
    });
  });

  describe('a process that outlives its command', () => {
    it('is killed in the background, and does not hold up the result', async () => {
      const result = await run('sleep 100 & echo $!');
      expect(result.end).toEqual({ type: 'exit', code: 0 });
      expect(result.durationMs).toBeLessThan(5_000);
      expect(pidsIn(cwd)).toEqual([]);
    });

    it.runIf(linux)('is killed in a session of its own, whatever it did with its output', async () => {
      await run(
        'setsid bash -c "echo \\$\\$ > pid; exec sleep 100" >/dev/null 2>&1 & until [ -s pid ]; do sleep 0.02; done; cat pid',
      );
      expect(pidsIn(cwd)).toEqual([]);
    });

    it.runIf(linux)('is killed though it left its session, its group and its environment', async () => {
      const result = await run(
        "setsid env -i bash -c 'echo $$ > pid; exec sleep 100' >/dev/null 2>&1 & until [ -s pid ]; do sleep 0.02; done; cat pid",
      );
      expect(result.output).toMatch(/^\d+\n$/);
      expect(pidsIn(cwd)).toEqual([]);
    });

    it.runIf(linux)('is killed though it goes on forking', async () => {
      await run(
        'for i in 1 2 3; do setsid bash -c "while :; do (sleep 0.05; :) & sleep 0.01; done" >/dev/null 2>&1 & done; sleep 0.3',
      );
      expect(pidsIn(cwd)).toEqual([]);
    });

    it.runIf(linux && kind === 'none')(
      'and has escaped with the output open does not hold up the result',
      async () => {
        const result = await run(
          "env -i setsid bash -c 'ulimit -x 1; echo $$ > pid; exec sleep 100' & until [ -s pid ]; do sleep 0.02; done",
        );
        expect(result.end).toEqual({ type: 'exit', code: 0 });
        const pid = await written('pid');
        if (isRunning(pid)) process.kill(Number(pid), 'SIGKILL');
      },
    );
  });

  describe('what cannot be started', () => {
    it('is said in a sentence', async () => {
      await expect(run('true', { cwd: join(cwd, 'gone') })).rejects.toThrow(
        `directory ${join(cwd, 'gone')} does not exist`,
      );
      await expect(run('echo \0')).rejects.toThrow('NUL character');
      const room = MAX_SCRIPT_BYTES - 'true #'.length;
      expect((await run(`true #${'x'.repeat(room)}`)).end).toEqual({ type: 'exit', code: 0 });
      await expect(run(`true #${'x'.repeat(room + 1)}`)).rejects.toThrow(
        `expected at most ${MAX_SCRIPT_BYTES}`,
      );
    });
  });

  describe('close', () => {
    it('ends what runs, and nothing runs after it', async () => {
      const result = run('echo $$ > pid; sleep 100');
      const pid = await written('pid');
      await sandbox.close();
      expect((await result).end).toEqual({ type: 'aborted' });
      if (kind === 'none' && linux) expect(isRunning(pid)).toBe(false);
      expect(pidsIn(cwd)).toEqual([]);
      await expect(run('true')).rejects.toThrow('The sandbox is closed.');
      await sandbox.close();
    });
  });
});
