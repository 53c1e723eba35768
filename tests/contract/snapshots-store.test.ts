/** Snapshots survive whoever writes them, move between hosts, and go when nobody needs them. */
import { execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openSnapshots } from '../../src/workspace/snapshots/open-snapshots.ts';
import type { Snapshots, SnapshotsOptions } from '../../src/workspace/snapshots/snapshots.ts';
import { emptyDirectory, filesAt, readTree, type TreeFile, writeTree } from './snapshots-harness.ts';

let base: string;
let root: string;
const open: Snapshots[] = [];

beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), 'capybara-store-'));
  root = join(base, 'work');
  mkdirSync(root);
});

afterEach(async () => {
  for (const each of open.splice(0)) await each.close();
  rmSync(base, { recursive: true });
});

const text = (content: string): TreeFile => ({ type: 'file', content });

function storeOn(host: string, options: Partial<SnapshotsOptions> = {}) {
  const snapshots = openSnapshots({ directory: join(base, host), ...options });
  open.push(snapshots);
  return snapshots.of('tree');
}

const packs = (host: string) => join(base, host, 'tree.git/objects/pack');
const fsck = (host: string) =>
  execFileSync('git', ['--git-dir', join(base, host, 'tree.git'), 'fsck', '--full', '--strict'], {
    stdio: 'pipe',
  });

describe('a store', () => {
  it('can be used after a writer was killed at any moment', async () => {
    const child = spawn(
      process.execPath,
      [join(import.meta.dirname, 'snapshots-child.ts'), join(base, 'host'), root],
      {
        stdio: ['ignore', 'pipe', 'inherit'],
      },
    );
    for (let round = 0; round < 3; round += 1) await once(child.stdout, 'data');
    child.kill('SIGKILL');
    await once(child, 'exit');
    const store = storeOn('host');
    const { id } = await store.take(filesAt(root));
    const copy = join(base, 'copy');
    mkdirSync(copy);
    await store.restore(filesAt(copy), id);
    expect(readTree(copy)).toEqual(readTree(root));
    fsck('host');
  });

  it('makes the index of a pack again that a power cut took, and drops a pack that was not finished', async () => {
    writeTree(root, { a: text('a') });
    const { id } = await storeOn('host').take(filesAt(root));
    await open.pop()?.close();
    const [index = ''] = readdirSync(packs('host')).filter((name) => name.endsWith('.idx'));
    for (const damage of [
      () => rmSync(join(packs('host'), index)),
      () => truncateSync(join(packs('host'), index), 100),
    ]) {
      damage();
      const half = join(packs('host'), `pack-${'0'.repeat(40)}.pack`);
      writeFileSync(half, 'PACK\0\0\0\x02\0\0\0\x05half');
      utimesSync(half, 0, 0);
      const store = storeOn('host');
      emptyDirectory(root);
      await store.restore(filesAt(root), id);
      expect(readTree(root)).toEqual({ a: text('a') });
      expect(existsSync(half)).toBe(false);
      await open.pop()?.close();
    }
  });

  it('joins its packs, and has all that it had', async () => {
    const store = storeOn('host');
    const ids: string[] = [];
    for (let number = 0; number < 60; number += 1) {
      writeFileSync(join(root, 'a'), `${number}`);
      ids.push((await store.take(filesAt(root))).id);
    }
    await store.has(ids[0] as string);
    expect(readdirSync(packs('host')).filter((name) => name.endsWith('.pack')).length).toBeLessThan(20);
    await store.restore(filesAt(root), ids[0] as string);
    expect(readTree(root)).toEqual({ a: text('0') });
    fsck('host');
  });

  it('holds large files whole, once each', async () => {
    const content = randomBytes(9_500_001);
    for (const name of ['a', 'b']) writeFileSync(join(root, name), content);
    const store = storeOn('host');
    const { id } = await store.take(filesAt(root));
    emptyDirectory(root);
    await store.restore(filesAt(root), id);
    for (const name of ['a', 'b']) expect(readFileSync(join(root, name)).equals(content)).toBe(true);
    fsck('host');
    const [pack = ''] = readdirSync(packs('host')).filter((name) => name.endsWith('.pack'));
    expect(statSync(join(packs('host'), pack)).size).toBeLessThan(10_000_000);
  });

  it('says what is missing, and what is no id', async () => {
    const store = storeOn('host');
    await expect(store.restore(filesAt(root), '0'.repeat(40))).rejects.toMatchObject({
      code: 'missing_snapshot',
    });
    await expect(store.take(filesAt(root), { previous: '--help' })).rejects.toMatchObject({
      code: 'bad_name',
    });
    await expect(store.take(filesAt(join(base, 'nothing')))).rejects.toMatchObject({ code: 'bad_root' });
    expect(await store.has('0'.repeat(40))).toBe(false);
  });

  it('takes every file over again after another process has pruned what it knew', async () => {
    const [first, second] = [
      storeOn('host', { limits: { pruneGraceMs: 0 } }),
      storeOn('host', { limits: { pruneGraceMs: 0 } }),
    ];
    writeFileSync(join(root, 'a'), 'one');
    await first.take(filesAt(root));
    writeFileSync(join(root, 'a'), 'two');
    const live = await first.take(filesAt(root));
    await second.prune([live.id]);
    writeFileSync(join(root, 'a'), 'one');
    const { id } = await first.take(filesAt(root), { previous: live.id });
    emptyDirectory(root);
    await second.restore(filesAt(root), id);
    expect(readTree(root)).toEqual({ a: text('one') });
  });
});

describe('pruning', () => {
  it('keeps what is live, and what is young', async () => {
    writeTree(root, { a: text('a'), b: text('b') });
    const store = storeOn('host', { limits: { pruneGraceMs: 0 } });
    const old = await store.take(filesAt(root));
    writeFileSync(join(root, 'a'), 'a2');
    const live = await store.take(filesAt(root), { previous: old.id });
    await storeOn('other').prune([live.id]);
    expect(await store.has(old.id)).toBe(true);
    await store.prune([live.id]);
    expect([await store.has(old.id), await store.has(live.id)]).toEqual([false, true]);
    emptyDirectory(root);
    await store.restore(filesAt(root), live.id);
    expect(readTree(root)).toEqual({ a: text('a2'), b: text('b') });
    fsck('host');
  });
});

describe('a shared store', () => {
  it('carries a snapshot to another host', async () => {
    const shared = join(base, 'shared');
    const [one, two] = [storeOn('one', { shared }), storeOn('two', { shared })];
    writeTree(root, { a: text('a'), '.git/HEAD': text('ref: refs/heads/x\n'), empty: { type: 'directory' } });
    const tree = readTree(root);
    const { id } = await one.take(filesAt(root));
    await expect(two.fetch(id)).rejects.toMatchObject({ code: 'not_shared' });
    await one.push(id);
    await one.push(id);
    await two.fetch(id);
    emptyDirectory(root);
    await two.restore(filesAt(root), id);
    expect(readTree(root)).toEqual(tree);
    const { id: next } = await two.take(filesAt(root), {
      previous: id,
      written: [{ root: 'main', path: 'x' }],
    });
    await two.push(next);
    await storeOn('four', { shared }).fetch(next);
  });

  it('that cannot be reached is told without its password', async () => {
    const store = storeOn('host', { shared: 'https://me:secret@127.0.0.1:1/x.git' });
    const { id } = await store.take(filesAt(root));
    const error = await store.push(id).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({
      code: 'not_shared',
      message: expect.stringContaining('CAPYBARA_SNAPSHOTS'),
    });
    expect(String(error)).not.toContain('secret');
  });
});
