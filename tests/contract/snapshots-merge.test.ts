/** A merge holds what both sides did; where they did not agree, it says so and holds both. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openSnapshots } from '../../src/workspace/snapshots/open-snapshots.ts';
import type { Merged, SnapshotStore, Snapshots } from '../../src/workspace/snapshots/snapshots.ts';
import {
  emptyDirectory,
  filesAt,
  readTree,
  type Tree,
  type TreeFile,
  trees,
  writeTree,
} from './snapshots-harness.ts';

let base: string;
let root: string;
let snapshots: Snapshots;
let store: SnapshotStore;

beforeAll(() => {
  base = mkdtempSync(join(tmpdir(), 'capybara-merge-'));
  root = join(base, 'work');
  snapshots = openSnapshots({ directory: join(base, 'store') });
  store = snapshots.of('merge');
});

afterAll(async () => {
  await snapshots.close();
  rmSync(base, { recursive: true });
});

const text = (content: string): TreeFile => ({ type: 'file', content });

async function take(tree: Tree): Promise<string> {
  emptyDirectory(root);
  writeTree(root, tree);
  return (await store.take(filesAt(root))).id;
}

async function merge(trees: { base: Tree; ours: Tree; theirs: Tree }): Promise<Merged & { tree: Tree }> {
  const ids = {
    base: await take(trees.base),
    ours: await take(trees.ours),
    theirs: await take(trees.theirs),
  };
  const merged = await store.merge({ ...ids, label: 'child' });
  emptyDirectory(root);
  await store.restore(filesAt(root), merged.id);
  return { ...merged, tree: readTree(root) };
}

describe('a merge', () => {
  it('of changes in different places holds all of them', async () => {
    const parts = trees.map((tree) =>
      Object.fromEntries(Object.entries(tree).filter(([path]) => !path.includes('.gitignore'))),
    );
    const below = (name: string, tree: Tree) =>
      Object.fromEntries(Object.entries(tree).map(([path, file]) => [`${name}/${path}`, file]));
    await fc.assert(
      fc.asyncProperty(parts, parts, parts, async (first, second, third) => {
        const start = { ...below('one', first), ...below('two', first), both: text('both') };
        const ours = { ...below('one', second), ...below('two', first), both: text('both') };
        const theirs = { ...below('one', first), ...below('two', third), both: text('both') };
        const { tree, conflicts } = await merge({ base: start, ours, theirs });
        expect(conflicts.filter(({ kind }) => kind !== 'metadata')).toEqual([]);
        // What is removed of version control stays, and is told.
        if (conflicts.length > 0) return;
        emptyDirectory(root);
        writeTree(root, { ...below('one', second), ...below('two', third), both: text('both') });
        expect(tree).toEqual(readTree(root));
      }),
      { numRuns: 15 },
    );
  });

  it('of changes in one file holds both, and marks where they meet', async () => {
    const lines = (first: string, last: string) => text(`${first}\n1\n2\n3\n4\n5\n${last}\n`);
    const { tree, conflicts } = await merge({
      base: { apart: lines('a', 'b'), together: text('x\n') },
      ours: { apart: lines('A', 'b'), together: text('mine\n'), new: text('n1\n') },
      theirs: { apart: lines('a', 'B'), together: text('yours\n'), new: text('n2\n') },
    });
    expect(tree.apart).toEqual(lines('A', 'B'));
    expect(tree.together).toEqual(text('<<<<<<< ours\nmine\n=======\nyours\n>>>>>>> child\n'));
    expect(tree.new).toEqual(text('<<<<<<< ours\nn1\n=======\nn2\n>>>>>>> child\n'));
    expect(conflicts).toEqual([
      { root: 'main', path: 'new', kind: 'both_added' },
      { root: 'main', path: 'together', kind: 'content' },
    ]);
  });

  it('of what cannot be merged keeps one beside the other', async () => {
    const { tree, conflicts } = await merge({
      base: {
        bin: text('\0a'),
        link: { type: 'link', to: 'a' },
        gone: text('1'),
        'd/x': text('1'),
        'd/y': text('1'),
        kind: text('1'),
      },
      ours: {
        bin: text('\0b'),
        link: { type: 'link', to: 'b' },
        'd/x': text('1'),
        'd/y': text('2'),
        'kind/z': text('z'),
      },
      theirs: { bin: text('\0c'), link: { type: 'link', to: 'c' }, gone: text('2'), kind: text('3') },
    });
    expect(tree).toEqual({
      bin: text('\0b'),
      'bin.child': text('\0c'),
      link: { type: 'link', to: 'b' },
      'link.child': { type: 'link', to: 'c' },
      gone: text('2'),
      d: { type: 'directory' },
      'd/y': text('2'),
      kind: { type: 'directory' },
      'kind/z': text('z'),
      'kind.child': text('3'),
    });
    expect(conflicts.map(({ path, kind, keptAt }) => [path, kind, keptAt])).toEqual([
      ['bin', 'binary', 'bin.child'],
      ['d/y', 'deleted', undefined],
      ['gone', 'deleted', undefined],
      ['kind', 'kind', 'kind.child'],
      ['link', 'binary', 'link.child'],
    ]);
  });

  it('joins an edit with a change of mode', async () => {
    const { tree, conflicts } = await merge({
      base: { a: text('1') },
      ours: { a: { type: 'file', content: '1', executable: true } },
      theirs: { a: text('2') },
    });
    expect([tree, conflicts]).toEqual([{ a: { type: 'file', content: '2', executable: true } }, []]);
  });
});
