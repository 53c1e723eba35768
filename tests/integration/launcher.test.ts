import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, beforeEach, expect, test } from 'vitest';

const ROOT = join(import.meta.dirname, '..', '..');
let directory: string;

/** The two halves of the launcher, with a program of the test's in the place of Capybara. */
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'capybara-launcher-'));
  for (const name of ['launch.js', 'launched.js']) cpSync(join(ROOT, 'bin', name), join(directory, name));
  writeFileSync(join(directory, 'package.json'), '{"type":"module"}');
  writeFileSync(
    join(directory, 'entry.js'),
    "import { launch } from './launch.js'; await launch(new URL('./launched.js', import.meta.url));",
  );
  symlinkSync(join(ROOT, 'node_modules'), join(directory, 'node_modules'));
});
afterEach(() => rmSync(directory, { recursive: true }));

function start(program: string, ...args: string[]): { launcher: ChildProcess; lines: AsyncIterator<string> } {
  writeFileSync(join(directory, 'run.js'), program);
  const launcher = spawn(process.execPath, [join(directory, 'entry.js'), ...args], {
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  if (launcher.stdout === null) throw new Error('expected a pipe');
  return { launcher, lines: createInterface({ input: launcher.stdout })[Symbol.asyncIterator]() };
}

const next = async (lines: AsyncIterator<string>): Promise<string> => (await lines.next()).value;

const COUNT_INTERRUPTS = `
  process.on('SIGINT', () => console.log('interrupted'));
  process.on('SIGTERM', () => { console.log('ending'); setTimeout(() => process.exit(7), 600); });
  setInterval(() => {}, 1000);
  console.log(process.pid);`;

test('the program has the arguments, the streams and the end of the launcher, on Node 24', async () => {
  const { launcher, lines } = start(
    'console.log(process.argv.slice(2).join(), process.version); process.exit(5);',
    'a',
    'b c',
  );
  const ended = once(launcher, 'exit');
  expect(await next(lines)).toMatch(/^a,b c v24\./);
  expect(await ended).toEqual([5, null]);
});

test('Ctrl-C, which reaches both, is taken once; a signal to the launcher alone is passed on', async () => {
  const { launcher, lines } = start(COUNT_INTERRUPTS);
  await next(lines);
  const pid = launcher.pid ?? 0;
  const ended = once(launcher, 'exit');
  process.kill(-pid, 'SIGINT');
  expect(await next(lines)).toBe('interrupted');
  // Long enough for both halves of the pair to have met.
  await new Promise((resolve) => setTimeout(resolve, 600));
  process.kill(pid, 'SIGINT');
  expect(await next(lines)).toBe('interrupted');
  process.kill(pid, 'SIGTERM');
  // Had any signal been taken twice, another line were here.
  expect(await next(lines)).toBe('ending');
  expect(await ended).toEqual([7, null]);
});

test('Ctrl-C that a tool above also passes on is taken once', async () => {
  const { launcher, lines } = start(COUNT_INTERRUPTS);
  await next(lines);
  const pid = launcher.pid ?? 0;
  const ended = once(launcher, 'exit');
  process.kill(-pid, 'SIGINT');
  await new Promise((resolve) => setTimeout(resolve, 20));
  process.kill(pid, 'SIGINT');
  expect(await next(lines)).toBe('interrupted');
  await new Promise((resolve) => setTimeout(resolve, 600));
  process.kill(pid, 'SIGTERM');
  expect(await next(lines)).toBe('ending');
  expect(await ended).toEqual([7, null]);
});

test('a program that handles no signal ends by it, and the launcher ends the same way', async () => {
  for (const target of [1, -1]) {
    const { launcher, lines } = start('console.log(1); setInterval(() => {}, 1000);');
    await next(lines);
    process.kill(target * (launcher.pid ?? 0), 'SIGINT');
    expect(await once(launcher, 'exit')).toEqual([null, 'SIGINT']);
  }
});

test('a killed launcher takes the program with it', async () => {
  const { launcher, lines } = start(COUNT_INTERRUPTS);
  const pid = Number(await next(lines));
  expect(readFileSync(`/proc/${pid}/cmdline`, 'utf8')).toContain('launched.js');
  launcher.kill('SIGKILL');
  expect((await lines.next()).done).toBe(true);
});

test('one sentence says so where no Node came with the package', async () => {
  rmSync(join(directory, 'node_modules'));
  const { launcher } = start('console.log(1)');
  let said = '';
  launcher.stderr?.on('data', (chunk) => {
    said += chunk;
  });
  expect(await once(launcher, 'close')).toEqual([1, null]);
  expect(said).toBe(
    `Capybara needs Node 24 or newer and this is Node ${process.versions.node}: install Node 24, or reinstall Capybara with its optional dependencies.\n`,
  );
});
