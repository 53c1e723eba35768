/** Snapshots of several roots: put together from others, also of other trees of forks, and kept what they may be. */
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { SNAPSHOT_LIMITS, type SnapshotLimits } from '../../src/workspace/snapshots/limits.ts';
import { openSnapshots } from '../../src/workspace/snapshots/open-snapshots.ts';
import type { SnapshotStore, Snapshots } from '../../src/workspace/snapshots/snapshots.ts';
import { git } from '../support/git-server.ts';
import { filesAt, readTree, type Tree, writeTree } from './snapshots-harness.ts';

const GUARD = { root: 'main', writable: ['app', 'empty'], readOnly: ['docs'] };

let base: string;
const open: Snapshots[] = [];
beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), 'capybara-roots-'));
});
afterEach(async () => {
  for (const each of open.splice(0)) await each.close();
  rmSync(base, { recursive: true });
});

function storeOf(lineage: string, limits: Partial<SnapshotLimits> = {}): SnapshotStore {
  const snapshots = openSnapshots({ directory: join(base, 'store'), limits, threads: 1 });
  open.push(snapshots);
  return snapshots.of(lineage);
}

const text = (content: string) => ({ type: 'file', content }) as const;
function directoryWith(name: string, tree: Tree): string {
  const path = join(base, name);
  writeTree(path, tree);
  return path;
}

/** A repository as `app`, nothing as `empty`, a directory that was sent as `docs`. */
async function composed(store: SnapshotStore): Promise<string> {
  const app = directoryWith('app', {
    'src/a': text('a\n'),
    '.gitignore': text('cache\n'),
    empty: { type: 'directory' },
  });
  git(app, 'init', '-q', '-b', 'main');
  const other = storeOf('sent');
  const docs = directoryWith('docs', {
    'guide.md': text('guide\n'),
    'sub/ignored': text('kept\n'),
    'sub/.gitignore': text('ignored\n'),
  });
  const written = [{ root: 'main', path: 'sub/ignored' }];
  const [{ id: of }, { id: sent }] = [
    await store.take(filesAt(app)),
    await other.take(filesAt(docs), { written }),
  ];
  await store.adopt(sent, 'sent');
  return store.compose(
    [{ name: 'app', snapshot: of }, { name: 'docs', snapshot: sent }, { name: 'empty' }],
    'main',
  );
}

async function restored(store: SnapshotStore, snapshot: string): Promise<string> {
  const work = join(base, 'work');
  mkdirSync(work, { recursive: true });
  await store.restore(filesAt(work), snapshot);
  return work;
}

describe('a snapshot put together from others', () => {
  test('has each of them, whole, in a directory of its name', async () => {
    const store = storeOf('session');
    const snapshot = await composed(store);
    const work = await restored(store, snapshot);
    expect(readTree(join(work, 'app'))).toEqual(readTree(join(base, 'app')));
    expect(readTree(join(work, 'docs'))).toEqual(readTree(join(base, 'docs')));
    expect(readTree(join(work, 'empty'))).toEqual({});
    expect(await store.isClean(filesAt(work), snapshot)).toBe(true);
    expect(await store.take(filesAt(work), { previous: snapshot, guard: GUARD })).toEqual({
      ...{ id: snapshot, changed: false, leftOut: [], ignored: [] },
    });
  });

  test('needs nothing of the store that one of them came from', async () => {
    const snapshot = await composed(storeOf('session'));
    rmSync(join(base, 'store', 'sent.git'), { recursive: true });
    const work = await restored(storeOf('session'), snapshot);
    expect(readTree(join(work, 'docs'))).toEqual(readTree(join(base, 'docs')));
  });

  test('is refused where it would be more than can be worked on', async () => {
    const inner = directoryWith('inner', { 'a/b': text('b') });
    const partsOf = async (store: SnapshotStore) => [
      { name: 'one', snapshot: (await store.take(filesAt(inner))).id },
      { name: 'two' },
    ];
    const exact = storeOf('exact', { entries: 4, depth: 2 });
    await expect(exact.compose(await partsOf(exact), 'main')).resolves.toMatch(/^[0-9a-f]{40}$/);
    const few = storeOf('few', { entries: 3 });
    await expect(few.compose(await partsOf(few), 'main')).rejects.toMatchObject({
      code: 'too_many_files',
      message: 'The roots have 4 files together; at most 3 can be worked on.',
    });
    const flat = storeOf('flat', { depth: 1 });
    await expect(flat.compose(await partsOf(flat), 'main')).rejects.toMatchObject({
      message: 'The roots have 2 levels of directories; at most 1 can be worked on.',
    });
    expect(SNAPSHOT_LIMITS.entries).toBeGreaterThan(4);
  });

  test('says so where one of them is not there', async () => {
    const store = storeOf('session');
    await expect(store.adopt('a'.repeat(40), 'none')).rejects.toMatchObject({ code: 'missing_snapshot' });
    await expect(store.adopt('a'.repeat(40), '../none')).rejects.toMatchObject({ code: 'bad_name' });
  });
});

describe('a guarded root', () => {
  async function begun() {
    const store = storeOf('session');
    const snapshot = await composed(store);
    const work = await restored(store, snapshot);
    const take = () => store.take(filesAt(work), { previous: snapshot, guard: GUARD });
    return { store, snapshot, work, take };
  }

  test('takes what is changed where it may be', async () => {
    const { work, take, snapshot } = await begun();
    writeFileSync(join(work, 'app', 'b'), 'b');
    rmSync(join(work, 'app', 'src'), { recursive: true });
    const taken = await take();
    expect(taken).toMatchObject({ changed: true });
    expect(taken.id).not.toBe(snapshot);
    expect(taken.refused).toBeUndefined();
  });

  const breaches: Readonly<Record<string, readonly [(work: string) => void, readonly string[]]>> = {
    'a file changed': [(work) => writeFileSync(join(work, 'docs/guide.md'), 'x'), ['docs']],
    'a file added': [(work) => writeFileSync(join(work, 'docs/new'), 'x'), ['docs']],
    'a repository begun': [(work) => git(join(work, 'docs'), 'init', '-q'), ['docs']],
    'all of it gone': [(work) => rmSync(join(work, 'docs'), { recursive: true }), ['docs']],
    'it renamed': [(work) => renameSync(join(work, 'docs'), join(work, 'other')), ['docs', 'other']],
    'a writable one renamed': [(work) => renameSync(join(work, 'app'), join(work, 'gone')), ['app', 'gone']],
    'a link in its place': [
      (work) => {
        rmSync(join(work, 'empty'), { recursive: true });
        symlinkSync('/', join(work, 'empty'));
      },
      ['empty'],
    ],
    'something beside the roots': [(work) => writeFileSync(join(work, 'beside'), 'x'), ['beside']],
    'a repository around them': [(work) => git(work, 'init', '-q'), ['.git']],
  };
  test.each(Object.entries(breaches))('has nothing of %s, and says so', async (_, [breach, refused]) => {
    const { store, snapshot, work, take } = await begun();
    const before = readTree(work);
    breach(work);
    expect(await take()).toMatchObject({ id: snapshot, changed: false, refused: [...refused].sort() });
    await store.restore(filesAt(work), snapshot);
    expect(readTree(work)).toEqual(before);
  });

  test('keeps what was rightly changed beside that', async () => {
    const { store, work, take } = await begun();
    writeFileSync(join(work, 'app', 'b'), 'b');
    writeFileSync(join(work, 'docs', 'guide.md'), 'x');
    const { id, refused } = await take();
    expect(refused).toEqual(['docs']);
    await store.restore(filesAt(work), id);
    expect(readTree(work)).toMatchObject({
      'app/b': { content: 'b' },
      'docs/guide.md': { content: 'guide\n' },
    });
    expect(await store.isClean(filesAt(work), id)).toBe(true);
  });
});
