import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Owner, type PlaceHost, takePlace } from '../../src/workspace/place.ts';

let directory: string;
const gone = new Set<number>();

beforeEach(() => {
  gone.clear();
  directory = join(mkdtempSync(join(tmpdir(), 'capybara-place-')), 'workspace');
});
afterEach(() => rmSync(join(directory, '..'), { recursive: true, force: true }));

function hostOf(pid: number, boot = 'boot 1'): PlaceHost {
  const self: Owner = { host: 'here', pid, pidStartedAt: '1' };
  return { directory, boot, self, isGone: (other) => gone.has(other.pid) };
}

function take(pid: number, head = 'a', boot?: string) {
  return takePlace(hostOf(pid, boot), head);
}

const places = () => readdirSync(directory).filter((name) => name.startsWith('place-'));

describe('a place', () => {
  test('that was released is taken again, by whoever comes, with its files', () => {
    const { place } = take(1);
    writeFileSync(join(place.files, 'kept'), 'x');
    place.settle('a');
    place.release();
    const next = take(2).place;
    expect(next.files).toBe(place.files);
    expect(readFileSync(join(next.files, 'kept'), 'utf8')).toBe('x');
    expect(next.at).toBe('a');
  });

  test('in use is nobody else’s: the next gets a fresh one, and is where `files` leads', () => {
    const { place } = take(1);
    const other = take(2).place;
    expect(other.path).not.toBe(place.path);
    expect(other.at).toBeUndefined();
    expect(readdirSync(other.files)).toEqual([]);
    expect(readlinkSync(join(directory, 'files'))).toBe(other.files);
  });

  test('of a process that is proven gone is taken over', () => {
    const { place } = take(1);
    gone.add(1);
    expect(take(2).place.path).toBe(place.path);
    expect(take(3).place.path).not.toBe(place.path);
  });

  test('is not released by an owner that was followed', () => {
    const { place } = take(1);
    gone.add(1);
    const next = take(2).place;
    place.release();
    expect(take(3).place.path).not.toBe(next.path);
  });

  test('that others were chosen over is handed out as spare, one in use is not', () => {
    const [first, second] = [take(1).place, take(2).place];
    const third = take(3).place;
    first.settle('b');
    first.release();
    second.settle('a');
    second.release();
    const { place, spare } = take(4, 'b');
    expect(place.path).toBe(first.path);
    expect(spare).toEqual([second.path.replace('/place-', '/old-place-')]);
    // Whoever was to remove it ended: the next is told.
    expect(take(5, 'b').spare).toEqual(spare);
    expect(places()).toContain(third.path.split('/').at(-1));
  });

  test('is at a snapshot until it is disturbed, and not after a boot of the machine', () => {
    const { place } = take(1);
    expect(place.at).toBeUndefined();
    place.settle('a');
    expect(place.at).toBe('a');
    place.disturb();
    expect(place.at).toBeUndefined();
    place.disturb();
    place.settle('c');
    place.release();
    expect(take(2, 'c', 'boot 2').place.at).toBeUndefined();
  });

  test('whose owner’s file was left empty by a loss of power is free', () => {
    const { place } = take(1);
    writeFileSync(join(place.path, 'owner-1'), '');
    expect(take(2).place.path).toBe(place.path);
  });

  test('that was deleted meanwhile is released without complaint', () => {
    const { place } = take(1);
    rmSync(place.path, { recursive: true });
    place.release();
    expect(existsSync(place.path)).toBe(false);
  });
});

test('of many threads that take a dead owner’s place at once, one has it', async () => {
  for (let round = 0; round < 8; round++) {
    rmSync(directory, { recursive: true, force: true });
    take(1);
    const file = new URL('../../src/workspace/place.ts', import.meta.url).href;
    const code = `
      import { parentPort, workerData } from 'node:worker_threads';
      const { takePlace } = await import(${JSON.stringify(file)});
      const { directory, pid, start } = workerData;
      Atomics.wait(new Int32Array(start), 0, 0);
      const self = { host: 'here', pid, pidStartedAt: '1' };
      const { place } = takePlace({ directory, boot: 'b', self, isGone: (other) => other.pid === 1 }, 'a');
      parentPort.postMessage(place.path);`;
    const start = new SharedArrayBuffer(4);
    const threads = Array.from({ length: 4 }, (_, index) => {
      const workerData = { directory, pid: index + 2, start };
      return new Worker(new URL(`data:text/javascript,${encodeURIComponent(code)}`), { workerData });
    });
    const answers = threads.map(
      (thread) =>
        new Promise<string>((resolve, reject) => thread.once('message', resolve).once('error', reject)),
    );
    await Promise.all(threads.map((thread) => new Promise((resolve) => thread.once('online', resolve))));
    Atomics.store(new Int32Array(start), 0, 1);
    Atomics.notify(new Int32Array(start), 0);
    const paths = await Promise.all(answers);
    expect(new Set(paths).size).toBe(4);
    await Promise.all(threads.map((thread) => thread.terminate()));
  }
});
