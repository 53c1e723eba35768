/** Writers of one file, in this process and in others. */
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { removeStale, STALE_LOCK_MS, withFileLock } from '../../src/config/file-lock.ts';

let home: string;
let target: string;
let lock: string;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'capybara-lock-'));
  target = join(home, 'x');
  lock = `${target}.lock`;
});
afterEach(() => rmSync(home, { recursive: true }));

/** As somebody left it behind who died. */
function leaveBehind(file = lock): void {
  writeFileSync(file, '');
  const old = new Date(Date.now() - STALE_LOCK_MS - 1_000);
  utimesSync(file, old, old);
}

test('a file that is locked waits for whoever has it, and not for who died', () => {
  expect(withFileLock(target, () => existsSync(lock))).toBe(true);
  expect(existsSync(lock)).toBe(false);
  writeFileSync(lock, '');
  expect(() => withFileLock(target, () => {}, 50)).toThrow(
    `${target} is being changed by another program: try again, or remove ${lock} and ${lock}.stale.`,
  );
  leaveBehind();
  expect(withFileLock(target, () => 'done', 1_000)).toBe('done');
});

test('a lock from the future is old, and a directory in its place is told at once', () => {
  leaveBehind();
  const future = new Date(Date.now() + 60_000);
  utimesSync(lock, future, future);
  expect(withFileLock(target, () => 'done', 1_000)).toBe('done');
  mkdirSync(lock);
  expect(() => withFileLock(target, () => {})).toThrow(`${target} is being changed by another program`);
});

test('of two that saw an old lock, the second does not remove the one that was made meanwhile', () => {
  leaveBehind();
  writeFileSync(`${lock}.stale`, '');
  removeStale(lock);
  expect(existsSync(lock)).toBe(true);
  rmSync(`${lock}.stale`);
  removeStale(lock);
  expect(existsSync(lock)).toBe(false);
  withFileLock(target, () => {
    removeStale(lock);
    expect(existsSync(lock)).toBe(true);
  });
});

test('who was held up for longer than a lock lasts leaves the next one’s alone', () => {
  withFileLock(target, () => {
    leaveBehind();
    removeStale(lock);
    writeFileSync(lock, 'the next one');
  });
  expect(readFileSync(lock, 'utf8')).toBe('the next one');
});

test('takers of an old lock come one after the other', async () => {
  leaveBehind();
  writeFileSync(target, '0');
  const source = `
    const { readFileSync, writeFileSync } = require('node:fs');
    const { workerData: { module, target } } = require('node:worker_threads');
    import(module).then(({ withFileLock }) => withFileLock(target, () => {
      const count = Number(readFileSync(target, 'utf8'));
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 30);
      writeFileSync(target, String(count + 1));
    }));
  `;
  const workerData = { target, module: new URL('../../src/config/file-lock.ts', import.meta.url).href };
  const takers = [1, 2, 3].map(() => once(new Worker(source, { eval: true, workerData }), 'exit'));
  expect(await Promise.all(takers)).toEqual([[0], [0], [0]]);
  expect(readFileSync(target, 'utf8')).toBe('3');
});
