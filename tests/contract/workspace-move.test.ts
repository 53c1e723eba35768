/** Files are moved on to a merged snapshot: a managed workspace whole, a person's directory only where it is as it was. */
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Checkout, type CheckoutRow, openCheckout } from '../../src/workspace/checkouts.ts';
import { carryRoot } from '../../src/workspace/snapshots/carry.ts';
import { KnownSnapshots } from '../../src/workspace/snapshots/known-snapshots.ts';
import { OpenDirectory } from '../../src/workspace/snapshots/open-directory.ts';
import { openSnapshots, SEARCH_PATH } from '../../src/workspace/snapshots/open-snapshots.ts';
import { ShadowGit } from '../../src/workspace/snapshots/shadow-git.ts';
import { newDirectory } from '../../src/workspace/snapshots/snapshot-tree.ts';
import type { SnapshotStore, Snapshots } from '../../src/workspace/snapshots/snapshots.ts';
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

beforeEach(() => {
  base = realpathSync(mkdtempSync(join(tmpdir(), 'capybara-move-')));
  root = join(base, 'work');
  mkdirSync(root);
  snapshots = openSnapshots({ directory: join(base, 'data', 'snapshots'), threads: 1 });
  store = snapshots.of('l');
});
afterEach(async () => {
  await snapshots.close();
  rmSync(base, { recursive: true, force: true });
});

const text = (content: string) => ({ type: 'file', content }) as const;
const tool = (content: string) => ({ type: 'file', content, executable: true }) as const;
const link = (to: string) => ({ type: 'link', to }) as const;
const empty = { type: 'directory' } as const;

function open(row: Partial<CheckoutRow> = {}): Promise<Checkout> {
  const host = {
    ...{ dataDir: join(base, 'data'), snapshots, boot: 'b', isGone: () => false },
    self: { host: 'here', pid: 1, pidStartedAt: '1' },
    onError: (error: unknown) => {
      throw error;
    },
  };
  return openCheckout({ id: 'w', kind: 'local', path: root, lineage: 'l', head: null, ...row }, host);
}

/** What a child's files were merged to. */
async function snapshotOf(tree: Tree, written: readonly string[] = []): Promise<string> {
  const other = join(base, 'other');
  emptyDirectory(other);
  writeTree(other, tree);
  const paths = written.map((path) => ({ root: 'main', path }));
  return (await store.take(filesAt(other), { written: paths })).id;
}

/** A person's directory as it was recorded, and then became while the child's files were merged. */
async function carried(
  { from, to }: { readonly from: Tree; readonly to: Tree },
  meanwhile: () => void = () => {},
) {
  emptyDirectory(root);
  writeTree(root, from);
  const checkout = await open();
  await checkout.record();
  const merged = await snapshotOf(to);
  meanwhile();
  const moved = await checkout.moveTo(merged, 'child');
  expect(checkout.isAt(moved.snapshot)).toBe(true);
  expect(await checkout.isUnchanged()).toBe(true);
  return { ...moved, isMerged: moved.snapshot === merged, tree: readTree(root) };
}

const write = (path: string, content: string) => writeFileSync(join(root, path), content);

describe('a person’s directory', () => {
  const FROM: Tree = {
    same: text('same'),
    edited: text('1'),
    gone: text('gone'),
    'sub/gone': text('gone'),
    mode: text('#!'),
    notool: tool('#!'),
    link: link('same'),
    'was-link': link('same'),
    'was-file': text('file'),
    'was-directory/in/it': text('deep'),
    hollow: empty,
    '\xff\xfe': text('odd'),
  };
  const TO: Tree = {
    same: text('same'),
    edited: text('2'),
    mode: tool('#!'),
    notool: text('#!'),
    link: link('edited'),
    'was-link': text('file'),
    'was-file': empty,
    'was-file/in/it': text('deep'),
    'was-file/in': empty,
    'was-directory': text('file'),
    'new/empty': empty,
    new: empty,
    '\xff\xfe': text('odder'),
    'e\xcc\x81\n': text('new'),
    ['n'.repeat(255)]: link('/etc/passwd'),
  };

  test('becomes what the snapshot says, and what does not differ is not touched', async () => {
    writeTree(root, FROM);
    const before = lstatSync(join(root, 'same'));
    const checkout = await open();
    await checkout.record();
    const merged = await snapshotOf(TO);
    const moved = await checkout.moveTo(merged);
    expect(moved).toEqual({ snapshot: merged, changed: true, ignored: [], kept: [], metadata: [] });
    expect(readTree(root)).toEqual(TO);
    const after = lstatSync(join(root, 'same'));
    expect([after.ino, after.mtimeMs, after.ctimeMs]).toEqual([before.ino, before.mtimeMs, before.ctimeMs]);
    expect(await checkout.moveTo(merged)).toMatchObject({ snapshot: merged, changed: false, kept: [] });
  });

  test('keeps permissions that no snapshot says', async () => {
    const { isMerged } = await carried(
      { from: { a: text('1'), b: tool('1') }, to: { a: tool('2'), b: text('2') } },
      () => {
        chmodSync(join(root, 'a'), 0o640);
        chmodSync(join(root, 'b'), 0o750);
      },
    );
    expect(isMerged).toBe(true);
    expect([lstatSync(join(root, 'a')).mode & 0o777, lstatSync(join(root, 'b')).mode & 0o777]).toEqual([
      0o750, 0o640,
    ]);
  });

  test('keeps what was changed meanwhile, with what the child made of it beside it', async () => {
    const { tree, kept, isMerged } = await carried(
      {
        from: {
          a: text('1'),
          gone: text('1'),
          moved: text('1'),
          mode: text('1'),
          l: link('a'),
          d: text('1'),
        },
        to: {
          a: text('2'),
          mode: text('2'),
          new: text('2'),
          l: link('b'),
          'd/x': text('2'),
          moved: text('2'),
        },
      },
      () => {
        write('a', 'person');
        write('a.child', 'the person’s too');
        write('gone', 'person');
        rmSync(join(root, 'moved'));
        chmodSync(join(root, 'mode'), 0o755);
        write('new', 'person');
        rmSync(join(root, 'l'));
        write('l', 'person');
        write('d', 'person');
        write('other', 'person');
      },
    );
    expect(tree).toEqual({
      a: text('person'),
      'a.child': { type: 'file', content: Buffer.from('the person’s too').toString('latin1') },
      'a.child-2': text('2'),
      gone: text('person'),
      'moved.child': text('2'),
      mode: tool('2'),
      new: text('person'),
      'new.child': text('2'),
      l: text('person'),
      'l.child': link('b'),
      d: text('person'),
      'd.child': empty,
      'd.child/x': text('2'),
      other: text('person'),
    });
    const sorted = kept.toSorted((a, b) => (a.path < b.path ? -1 : 1));
    expect(sorted).toEqual([
      { path: 'a', keptAt: 'a.child-2' },
      { path: 'd', keptAt: 'd.child' },
      { path: 'gone' },
      { path: 'l', keptAt: 'l.child' },
      { path: 'moved', keptAt: 'moved.child' },
      { path: 'new', keptAt: 'new.child' },
    ]);
    expect(isMerged).toBe(false);
  });

  test('keeps files that a person put into a directory that the child removed, or made a file', async () => {
    const { tree, kept } = await carried(
      {
        from: { 'gone/a': text('1'), 'file/a': text('1'), 'gone/deep/b': text('1') },
        to: { file: text('2') },
      },
      () => {
        write('gone/mine', 'person');
        write('file/mine', 'person');
      },
    );
    expect(tree).toEqual({
      gone: empty,
      'gone/mine': text('person'),
      file: empty,
      'file/mine': text('person'),
      'file.child': text('2'),
    });
    expect(kept).toEqual([{ path: 'file', keptAt: 'file.child' }]);
  });

  test('is never left through a link that a person put in the place of a directory', async () => {
    const outside = join(base, 'outside');
    writeTree(outside, { a: text('1'), gone: text('1') });
    const { tree, kept } = await carried(
      { from: { 'd/a': text('1'), 'd/gone': text('1') }, to: { 'd/a': text('2'), 'd/new': text('2') } },
      () => {
        rmSync(join(root, 'd'), { recursive: true });
        symlinkSync(outside, join(root, 'd'));
      },
    );
    expect(readTree(outside)).toEqual({ a: text('1'), gone: text('1') });
    expect(tree).toEqual({
      d: link(outside),
      'd.child': empty,
      'd.child/a': text('2'),
      'd.child/new': text('2'),
    });
    expect(kept).toEqual([{ path: 'd', keptAt: 'd.child' }]);
  });

  test('keeps its own version control, whatever a child did to that', async () => {
    const { tree, metadata, kept } = await carried({
      from: { a: text('1'), '.git/config': text('[core]'), '.git/HEAD': text('1'), 'sub/.hg/x': text('1') },
      to: {
        a: text('2'),
        '.git/config': text('[core]\nfsmonitor=x'),
        '.git/hooks/x': tool('x'),
        'sub/.hg/x': text('2'),
      },
    });
    expect(tree).toMatchObject({ a: text('2'), '.git/config': text('[core]'), 'sub/.hg/x': text('1') });
    expect(existsSync(join(root, '.git', 'hooks'))).toBe(false);
    expect([metadata, kept]).toEqual([['.git', 'sub/.hg'], []]);
  });

  test('keeps an ignored file in the way, which counts from then on as what it was', async () => {
    writeTree(root, { '.gitignore': text('out\n'), 'out/a': text('person') });
    const checkout = await open();
    const { snapshot: first } = await checkout.record();
    const merged = await snapshotOf({ '.gitignore': text('out\n'), 'out/a': text('2'), 'out/b': text('2') }, [
      'out/a',
      'out/b',
    ]);
    const moved = await checkout.moveTo(merged, 'child');
    expect(moved.kept).toEqual([{ path: 'out/a', keptAt: 'out/a.child' }]);
    expect(readTree(root)).toMatchObject({
      'out/a': text('person'),
      'out/a.child': text('2'),
      'out/b': text('2'),
    });
    const [diff] = await store.diff(first, moved.snapshot);
    expect(diff?.files.map(({ path, change }) => [path, change])).toEqual([
      ['out/a.child', 'added'],
      ['out/b', 'added'],
    ]);
  });

  test.runIf(process.getuid?.() !== 0)('says where nothing could be written', async () => {
    writeTree(root, { 'd/a': text('1'), b: text('1') });
    const checkout = await open();
    await checkout.record();
    const merged = await snapshotOf({ 'd/a': text('2'), b: text('2') });
    chmodSync(join(root, 'd'), 0o555);
    const { kept } = await checkout.moveTo(merged);
    chmodSync(join(root, 'd'), 0o755);
    expect(kept).toEqual([{ path: 'd/a' }]);
    expect(readFileSync(join(root, 'b'), 'utf8')).toBe('2');
  });

  test('comes to the same where it is killed between any two files, and done again', async () => {
    const git = new ShadowGit(join(base, 'data', 'snapshots', 'l.git'), {
      ...{ searchPath: SEARCH_PATH, timeoutMs: 60_000 },
    });
    const [one, two] = [await snapshotOf(FROM), await snapshotOf(TO)];
    const known = new KnownSnapshots(git, 60_000);
    const treeOf = (snapshot: string) => known.learn(snapshot).get('main') ?? newDirectory();
    const options = { from: treeOf(one), to: treeOf(two), label: 'child', maxBytes: 1_000 };
    const carry = (from: Partial<ShadowGit>) => {
      const at = OpenDirectory.open(root);
      const blobs = {
        blob: git.blob.bind(git),
        blobTo: git.blobTo.bind(git),
        blobs: git.blobs.bind(git),
        ...from,
      };
      try {
        return carryRoot(at, options, blobs);
      } finally {
        at.close();
      }
    };
    for (let files = 0; files < 7; files += 1) {
      emptyDirectory(root);
      writeTree(root, FROM);
      const killed: ShadowGit['blobs'] = (hashes, use) => {
        git.blobs(hashes.slice(0, files), use);
        throw new Error('killed');
      };
      expect(() => carry({ blobs: killed })).toThrow('killed');
      write('edited.capybara-unfinished', 'ha');
      expect(carry({})).toEqual({ kept: [], metadata: [] });
      expect(readTree(root)).toEqual(TO);
    }
  });

  test('is cleared of what was not whole when an earlier run was killed, and was recorded as if a person had made it', async () => {
    const left = { 'd/a.capybara-unfinished': text('ha') };
    const { tree, kept } = await carried({
      from: { 'd/b': text('1'), ...left },
      to: { 'd/a': text('2'), 'd/b': text('1'), ...left },
    });
    expect([tree, kept]).toEqual([{ d: empty, 'd/a': text('2'), 'd/b': text('1') }, []]);
  });

  test('loses nothing of anybody, whatever the three are', async () => {
    const isPlain = (path: string) => !/(^|\/)(.?git|\.hg|\.g\xe2)|child/i.test(path);
    const plain = trees.map((tree) =>
      Object.fromEntries(Object.entries(tree).filter(([path]) => isPlain(path))),
    );
    /** What of it another tree has otherwise, or not at all. */
    const changed = (tree: Tree, from: Tree) =>
      Object.entries(tree).filter(
        ([path, file]) => file.type !== 'directory' && JSON.stringify(from[path]) !== JSON.stringify(file),
      );
    const contentOf = (file: TreeFile | undefined) => (file?.type === 'file' ? file.content : file);
    await fc.assert(
      fc.asyncProperty(plain, plain, plain, async (from, to, here) => {
        const { tree, kept } = await carried({ from, to }, () => {
          emptyDirectory(root);
          writeTree(root, here);
        });
        for (const [path, file] of changed(here, from))
          expect(contentOf(tree[path])).toEqual(contentOf(file));
        for (const [path, file] of changed(to, from)) {
          const names = Buffer.from(path, 'latin1').toString().split('/');
          const above = names.map((_, depth) => names.slice(0, depth + 1).join('/'));
          const beside = kept.find((each) => above.includes(each.path));
          if (beside === undefined) expect(contentOf(tree[path])).toEqual(contentOf(file));
          else if (/^[ -~]*$/.test(path)) expect(tree).toHaveProperty([`${beside.keptAt}`]);
        }
      }),
      { numRuns: 15 },
    );
  });
});

describe('a managed workspace', () => {
  const managed = { kind: 'empty', path: null } as const;

  test('becomes what the snapshot says, and is known to be', async () => {
    const checkout = await open(managed);
    writeTree(checkout.root, {
      a: text('1'),
      '.gitignore': text('cache\n'),
      'cache/x': text('1'),
      d: text('1'),
    });
    await checkout.record();
    const to: Tree = {
      a: text('2'),
      '.gitignore': text('cache\n'),
      '.git/HEAD': text('x'),
      'd/x': tool('1'),
    };
    const merged = await snapshotOf(to);
    expect(await checkout.moveTo(merged)).toEqual({
      ...{ snapshot: merged, changed: true, ignored: ['cache/'], kept: [], metadata: [] },
    });
    expect(readTree(checkout.root)).toMatchObject({ ...to, 'cache/x': text('1') });
    expect(checkout.isAt(merged)).toBe(true);
    checkout.release();
    const next = await open({ ...managed, head: merged });
    expect([next.root, await next.isUnchanged()]).toEqual([checkout.root, true]);
  });

  test('goes from one snapshot to the next and is what each says, with what is ignored and what is not', async () => {
    const rules = { '.gitignore': text('cache\n*.o\n') };
    const checkout = await open(managed);
    const cache = { 'cache/x': text('1'), 'a.o': text('1') };
    writeTree(checkout.root, { ...rules, ...cache });
    await checkout.record();
    const plain = trees.map((tree) =>
      Object.fromEntries(Object.entries(tree).filter(([path]) => !/git|\.o$|^cache|\xe2|\.hg/i.test(path))),
    );
    await fc.assert(
      fc.asyncProperty(plain, plain, async (one, two) => {
        for (const tree of [one, two]) {
          const merged = await snapshotOf({ ...rules, ...tree });
          expect(await checkout.moveTo(merged)).toMatchObject({
            snapshot: merged,
            ignored: ['a.o', 'cache/'],
          });
          expect(readTree(checkout.root)).toEqual({
            ...readTree(join(base, 'other')),
            ...cache,
            cache: empty,
          });
        }
        expect(await checkout.isUnchanged()).toBe(true);
        expect((await checkout.record()).changed).toBe(false);
      }),
      { numRuns: 10 },
    );
    const merged = await snapshotOf({ '.gitignore': text('other\n') });
    await checkout.moveTo(merged);
    expect(await checkout.isUnchanged()).toBe(true);
    expect(readTree(checkout.root)).toEqual({ '.gitignore': text('other\n') });
  });

  test('that was being moved when its worker was killed is put back, and moved again', async () => {
    const checkout = await open(managed);
    writeTree(checkout.root, { a: text('1'), b: text('1') });
    const { snapshot } = await checkout.record();
    const merged = await snapshotOf({ a: text('2'), c: text('2') });
    checkout.disturb();
    writeFileSync(join(checkout.root, 'a'), '2');
    rmSync(join(checkout.root, 'b'));
    checkout.release();
    const next = await open({ ...managed, head: snapshot });
    expect(readTree(next.root)).toEqual({ a: text('1'), b: text('1') });
    await next.moveTo(merged);
    expect(readTree(next.root)).toEqual({ a: text('2'), c: text('2') });
  });

  test('is not believed to be there where it could not be brought there', async () => {
    const checkout = await open(managed);
    writeTree(checkout.root, { a: text('1') });
    const { snapshot } = await checkout.record();
    const merged = await snapshotOf({ a: text('2') });
    renameSync(checkout.root, `${checkout.root}-moved`);
    await expect(checkout.moveTo(merged)).rejects.toMatchObject({ code: 'bad_root' });
    expect(checkout.isAt(snapshot)).toBe(true);
    await expect(checkout.moveTo('f'.repeat(40))).rejects.toMatchObject({ code: 'bad_root' });
  });

  test('of several roots keeps those that may only be read, whatever the snapshot says', async () => {
    const [app, docs] = [await snapshotOf({ a: text('1') }), await snapshotOf({ guide: text('1') })];
    const head = await store.compose(
      [
        { name: 'app', snapshot: app },
        { name: 'docs', snapshot: docs },
      ],
      'main',
    );
    const roots = [
      { name: 'app', access: 'write', kind: 'empty' },
      { name: 'docs', access: 'read', kind: 'empty' },
    ];
    const source = { roots } as unknown as NonNullable<CheckoutRow['source']>;
    const checkout = await open({ ...managed, head, source });
    const merged = await snapshotOf({ 'app/a': text('2'), 'docs/guide': text('2'), beside: text('2') });
    const moved = await checkout.moveTo(merged);
    expect(moved).toMatchObject({ changed: true, refused: ['beside', 'docs'] });
    expect(moved.snapshot).not.toBe(merged);
    expect(readTree(checkout.root)).toEqual({
      ...{ app: empty, 'app/a': text('2'), docs: empty, 'docs/guide': text('1') },
    });
  });
});
