/**
 * Before each test file: a directory of its own for temporary files, and no setting of whoever runs the tests. After it: fails the file if it left a file there,
 * or a process that descends from it. What it changed in its process is put back, for the file that has it next.
 */
import { mkdirSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, inject, vi } from 'vitest';

/** Processes and files that were told to go may take this long. */
const GRACE_MS = 5_000;

const tmp = join(inject('runTmpDir'), `${process.pid}`);
mkdirSync(tmp, { recursive: true });
process.env.TMPDIR = tmp;

/** What a person exported for their own Capybara; `REDIS_URL` says which Redis to test with. */
for (const name of Object.keys(process.env)) {
  const own = /^(CAPYBARA_|ANTHROPIC_|OPENAI_|DATABASE_)/.test(name) && !/^CAPYBARA_(TEST|CI)_/.test(name);
  if (own) delete process.env[name];
}

const environment = { ...process.env };
const timers = [globalThis.setTimeout, globalThis.clearTimeout, globalThis.setInterval, performance.now];
/** What the file left that had this process before is not this one's. */
const before = new Set(ourPids());

// Hooks that end run in reverse order: those of the test file have run when this one does.
afterAll(async () => {
  try {
    await vi.waitFor(() => {
      const left = [...leftProcesses(), ...leftFiles()];
      if (left.length > 0) throw new Error(`this test file left behind:\n${left.join('\n')}`);
    }, GRACE_MS);
  } finally {
    rmSync(tmp, { recursive: true, force: true });
    putBack();
  }
  const now = [globalThis.setTimeout, globalThis.clearTimeout, globalThis.setInterval, performance.now];
  if (now.some((timer, index) => timer !== timers[index]))
    throw new Error('this test file left timers behind that are not real: the next file would wait for ever');
});

function putBack(): void {
  vi.useRealTimers();
  vi.restoreAllMocks();
  vi.unstubAllGlobals();
  for (const name of Object.keys(process.env)) if (!(name in environment)) delete process.env[name];
  Object.assign(process.env, environment);
}

function leftFiles(): string[] {
  return readdirSync(tmp).map((name) => join(tmp, name));
}

/** Children of this process, and orphans that work in or were started with this file's temporary directory. */
function leftProcesses(): string[] {
  return ourPids()
    .filter((pid) => !before.has(pid))
    .map((pid) => `process ${pid}: ${read(pid, 'cmdline').replaceAll('\0', ' ')}`);
}

function ourPids(): string[] {
  if (process.platform !== 'linux') return [];
  return readdirSync('/proc').filter(
    (pid) => /^\d+$/.test(pid) && Number(pid) !== process.pid && isOurs(pid),
  );
}

function isOurs(pid: string): boolean {
  const status = read(pid, 'status');
  if (/^State:\s+[ZX]/m.test(status)) return false;
  if (new RegExp(`^PPid:\\s+${process.pid}$`, 'm').test(status)) return true;
  return workingDirectory(pid).startsWith(`${tmp}/`) || read(pid, 'environ').includes(`TMPDIR=${tmp}\0`);
}

/** Empty where the process has ended meanwhile or is another user's. */
function read(pid: string, name: string): string {
  try {
    return readFileSync(join('/proc', pid, name), 'utf8');
  } catch {
    return '';
  }
}

function workingDirectory(pid: string): string {
  try {
    return readlinkSync(join('/proc', pid, 'cwd'));
  } catch {
    return '';
  }
}
