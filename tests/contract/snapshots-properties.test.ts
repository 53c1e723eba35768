/** Whatever the files are and become: a restore brings back each byte, and a snapshot of the same files is the same snapshot. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { isMetadata } from '../../src/core/metadata-name.ts';
import type { FileNode } from '../../src/workspace/snapshots/file-node.ts';
import { KnownSnapshots } from '../../src/workspace/snapshots/known-snapshots.ts';
import { openSnapshots, SEARCH_PATH } from '../../src/workspace/snapshots/open-snapshots.ts';
import { ShadowGit } from '../../src/workspace/snapshots/shadow-git.ts';
import type { SnapshotStore, Snapshots } from '../../src/workspace/snapshots/snapshots.ts';
import { at, emptyDirectory, filesAt, readTree, type Tree, trees, writeTree } from './snapshots-harness.ts';

let base: string;
let snapshots: Snapshots;
let store: SnapshotStore;

beforeAll(() => {
  base = mkdtempSync(join(tmpdir(), 'capybara-snapshots-'));
  snapshots = openSnapshots({ directory: join(base, 'store') });
  store = snapshots.of('properties');
});

afterAll(async () => {
  await snapshots.close();
  rmSync(base, { recursive: true });
});

/** Without ignore files: what they leave out is tested by itself. */
const plainTrees = trees.map((tree) =>
  Object.fromEntries(Object.entries(tree).filter(([path]) => !path.includes('.gitignore'))),
);

it('knows any tree from another and what git says of the two', async () => {
  const git = new ShadowGit(join(base, 'store', 'properties.git'), {
    searchPath: SEARCH_PATH,
    timeoutMs: 60_000,
  });
  const known = new KnownSnapshots(git, 60_000);
  await fc.assert(
    fc.asyncProperty(plainTrees, plainTrees, async (first, second) => {
      const root = join(base, 'work');
      const ids: string[] = [];
      for (const tree of [first, second]) {
        emptyDirectory(root);
        writeTree(root, tree);
        ids.push((await store.take(filesAt(root))).id);
      }
      const [one = '', two = ''] = ids;
      known.learn(one);
      const changed = contentOf(known.learn(two, one));
      known.clear();
      expect(changed).toEqual(contentOf(known.learn(two)));
      known.clear();
    }),
    { numRuns: 25 },
  );
});

/** With what each directory is called. */
function contentOf(roots: ReadonlyMap<string, FileNode>): unknown {
  const plain = (node: FileNode): unknown =>
    node.type === 'directory'
      ? { ...node, children: new Map([...node.children].map(([name, each]) => [name, plain(each)])) }
      : node;
  return [...roots].map(([name, node]) => [name, plain(node)]);
}

it('restores any tree over any other, byte for byte', async () => {
  await fc.assert(
    fc.asyncProperty(plainTrees, plainTrees, async (first, second) => {
      const root = join(base, 'work');
      emptyDirectory(root);
      writeTree(root, first);
      const before = readTree(root);
      const { id } = await store.take(filesAt(root));
      emptyDirectory(root);
      writeTree(root, second);
      const after = readTree(root);
      const next = await store.take(filesAt(root), { previous: id });
      expect(next.changed).toBe(JSON.stringify(sorted(before)) !== JSON.stringify(sorted(after)));
      await store.restore(filesAt(root), id);
      expect(readTree(root)).toEqual(before);
      expect(await store.take(filesAt(root), { previous: id })).toEqual({
        ...{ id, changed: false, leftOut: [], ignored: [] },
      });
      const elsewhere = join(base, 'elsewhere');
      emptyDirectory(elsewhere);
      await store.restore(filesAt(elsewhere), next.id);
      expect(readTree(elsewhere)).toEqual(after);
      expect(await store.isClean(filesAt(elsewhere), next.id)).toBe(true);
    }),
    { numRuns: 25 },
  );
});

/** What `git apply` can say: no empty directories, and no names that it takes for version control's own. */
const projects = plainTrees.map((tree) =>
  Object.fromEntries(
    Object.entries(tree).filter(
      ([path, { type }]) =>
        type !== 'directory' &&
        !path.split('/').some((name) => isMetadata(name)) &&
        // Git applies no patch with such a link: its own configuration may stand there.
        !(type === 'link' && path.includes('.gitmodules')),
    ),
  ),
);

it('makes a patch that git applies, and that says all that changed', async () => {
  await fc.assert(
    fc.asyncProperty(projects, projects, fc.boolean(), async (first, second, renames) => {
      const root = join(base, 'patched');
      emptyDirectory(root);
      writeTree(root, first);
      fc.pre(!hasLoopInTheWay(root, first, second));
      const from = await store.take(filesAt(root));
      emptyDirectory(root);
      writeTree(root, second);
      const to = await store.take(filesAt(root));
      const [diff] = await store.diff(from.id, to.id, { renames });
      expect(diff === undefined).toBe(from.id === to.id);
      emptyDirectory(root);
      writeTree(root, first);
      const config = [
        '-c',
        'core.autocrlf=false',
        '-c',
        'core.protectNTFS=false',
        '-c',
        'apply.whitespace=nowarn',
      ];
      if (diff)
        execFileSync('git', [...config, 'apply', '-'], {
          cwd: root,
          input: diff.patch,
          env: { PATH: process.env.PATH, HOME: '/' },
        });
      expect(withoutDirectories(readTree(root))).toEqual(withoutDirectories(second));
    }),
    { numRuns: 15 },
  );
});

/** A link that leads round in a circle, where a directory is to be: git asks what is below it, and takes the answer for an error. */
function hasLoopInTheWay(root: string, first: Tree, second: Tree): boolean {
  return Object.entries(first).some(
    ([path, { type }]) =>
      type === 'link' &&
      isLoop(at(root, path)) &&
      Object.keys(second).some((other) => other.startsWith(`${path}/`)),
  );
}

function isLoop(path: Buffer): boolean {
  try {
    statSync(path);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ELOOP';
  }
}

function withoutDirectories(tree: Tree): Tree {
  return Object.fromEntries(Object.entries(tree).filter(([, { type }]) => type !== 'directory'));
}

function sorted<T>(record: Record<string, T>): [string, T][] {
  return Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1));
}

it('names a snapshot by its files alone', async () => {
  mkdirSync(join(base, 'one'));
  writeTree(join(base, 'one'), { 'a/b': { type: 'file', content: 'x' } });
  writeTree(join(base, 'two'), { 'a/b': { type: 'file', content: 'x' } });
  const other = snapshots.of('another');
  expect((await other.take(filesAt(join(base, 'two')))).id).toBe(
    (await store.take(filesAt(join(base, 'one')))).id,
  );
});
