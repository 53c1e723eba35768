/** What is ignored is what git says, and what git tracks or a tool wrote is held all the same. */
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { PathSet } from '../../src/workspace/snapshots/byte-path.ts';
import type { Directory } from '../../src/workspace/snapshots/file-node.ts';
import { IgnoredNames, MAX_IGNORED, MAX_IGNORED_BYTES } from '../../src/workspace/snapshots/ignored-names.ts';
import { SNAPSHOT_LIMITS } from '../../src/workspace/snapshots/limits.ts';
import { OpenDirectory } from '../../src/workspace/snapshots/open-directory.ts';
import { openSnapshots } from '../../src/workspace/snapshots/open-snapshots.ts';
import { namesOnly, objectName } from '../../src/workspace/snapshots/pack-writer.ts';
import type { RootPath, SnapshotStore, Snapshots, Version } from '../../src/workspace/snapshots/snapshots.ts';
import { walk } from '../../src/workspace/snapshots/walk.ts';
import { RuleCache } from '../../src/workspace/snapshots/walk-rules.ts';
import { emptyDirectory, filesAt, readTree, type Tree, writeTree } from './snapshots-harness.ts';

let base: string;
let root: string;
let snapshots: Snapshots;
let store: SnapshotStore;

beforeAll(() => {
  base = mkdtempSync(join(tmpdir(), 'capybara-ignored-'));
  root = join(base, 'work');
  snapshots = openSnapshots({ directory: join(base, 'store') });
  store = snapshots.of('ignored');
});

afterAll(async () => {
  await snapshots.close();
  rmSync(base, { recursive: true });
});

beforeEach(() => mkdirSync(root));
afterEach(() => rmSync(root, { recursive: true }));

const git = (...args: string[]) =>
  execFileSync('git', ['-C', root, '-c', 'user.name=a', '-c', 'user.email=a@b.c', ...args], {
    env: { PATH: '/usr/local/bin:/usr/bin:/bin', HOME: base, GIT_CONFIG_NOSYSTEM: '1' },
  }).toString('latin1');

const text = (content: string) => ({ type: 'file', content }) as const;

/** Of the blob that says `remembered`. */
const REMEMBERED = objectName('blob', Buffer.from('remembered\n'));

function emptyRepository(): string {
  const path = join(base, 'other.git');
  execFileSync('git', ['init', '-q', '--bare', path]);
  return path;
}

/** What a fresh directory holds after a restore, without directories. */
async function held(id: string): Promise<string[]> {
  const copy = join(base, 'copy');
  emptyDirectory(copy);
  await store.restore(filesAt(copy), id);
  return Object.entries(readTree(copy))
    .filter(([path, { type }]) => type !== 'directory' && !path.startsWith('.git/'))
    .map(([path]) => path)
    .sort();
}

/** What a snapshot would hold, without the time that it takes to write one. */
function walked(): string[] {
  const at = OpenDirectory.open(root);
  try {
    const options = { sink: namesOnly, limits: SNAPSHOT_LIMITS, kept: new PathSet([]), before: undefined };
    return filesBelow(walk(at, options, new RuleCache()).root, '').sort();
  } finally {
    at.close();
  }
}

function filesBelow(directory: Directory, path: string): string[] {
  return [...directory.children].flatMap(([name, node]) => {
    if (name === '.git' || node.type === 'left_out') return [];
    return node.type === 'file' ? [path + name] : filesBelow(node, `${path}${name}/`);
  });
}

const words = fc.constantFrom('a', 'b', 'ab', 'abc', 'a.o', 'b.log', 'x y', '!a', '#a', '[a]', 'a\\b', 'B');
const paths = fc.array(words, { minLength: 1, maxLength: 3 }).map((parts) => parts.join('/'));
const pieces = fc.constantFrom(
  'a',
  'b',
  'c',
  '*',
  '**',
  '?',
  '[ab]',
  '[!a]',
  '[^b]',
  '[a-c]',
  '[[:alpha:]]',
  '[]a]',
  '[a',
  '\\',
  '\\*',
  '/',
  '!',
  '#',
  '.',
  'o',
  ' ',
  'log',
  '-',
  'B',
);
const patterns = fc.array(pieces, { minLength: 1, maxLength: 5 }).map((parts) => parts.join(''));

describe('ignored files', () => {
  it('are those that git ignores', () => {
    git('init', '-q');
    fc.assert(
      fc.property(
        fc.uniqueArray(paths, { minLength: 3, maxLength: 12 }),
        fc.array(fc.tuple(fc.constantFrom('', 'a/', 'b/', 'a/b/'), fc.array(patterns, { maxLength: 4 })), {
          maxLength: 3,
        }),
        (files, ignoreFiles) => {
          for (const name of readdirSync(root))
            if (name !== '.git') rmSync(join(root, name), { recursive: true });
          for (const path of files) {
            const blocked = files.some((each) => each.startsWith(`${path}/`));
            const above = path
              .split('/')
              .some(
                (_, index, all) =>
                  index > 0 &&
                  existsSync(join(root, ...all.slice(0, index))) &&
                  files.includes(all.slice(0, index).join('/')),
              );
            if (!blocked && !above) writeTree(root, { [path]: text('x') });
          }
          for (const [directory, lines] of ignoreFiles) {
            if (existsSync(join(root, directory)))
              writeFileSync(join(root, directory, '.gitignore'), lines.join('\n'));
          }
          const expected = git('ls-files', '-z', '-co', '--exclude-standard')
            .split('\0')
            .filter((path) => path !== '');
          expect(walked()).toEqual(expected.sort());
        },
      ),
      { numRuns: Number(process.env.CAPYBARA_TEST_RUNS ?? 60) },
    );
  });

  it('stay where they were, and do not make a snapshot another one', async () => {
    writeTree(root, { '.gitignore': text('cache\n*.o\n'), 'src/a.c': text('a') });
    const { id } = await store.take(filesAt(root));
    writeTree(root, { 'cache/x': text('1'), 'src/a.o': text('2') });
    expect((await store.take(filesAt(root), { previous: id })).changed).toBe(false);
    writeFileSync(join(root, 'src/a.c'), 'changed');
    await store.restore(filesAt(root), id);
    expect(readTree(root)).toMatchObject({
      'cache/x': text('1'),
      'src/a.o': text('2'),
      'src/a.c': text('a'),
    });
  });

  it('are told by the snapshot that is restored, not by what a command wrote since', async () => {
    writeTree(root, { '.gitignore': text('cache\n'), 'cache/kept': text('1'), a: text('a') });
    const { id } = await store.take(filesAt(root));
    writeFileSync(join(root, '.gitignore'), 'made\n');
    writeTree(root, { 'made/by/the/command': text('x'), 'new/.gitignore': text('*'), 'new/b': text('b') });
    await store.restore(filesAt(root), id);
    expect(Object.keys(readTree(root)).sort()).toEqual(['.gitignore', 'a', 'cache', 'cache/kept']);
  });

  it('are named by the snapshot that does not hold them, directories as a whole', async () => {
    const ignored = async (options = {}) => (await store.take(filesAt(root), options)).ignored;
    writeTree(root, { '.gitignore': text('node_modules\n*.o\n.env\nbuild\n'), 'src/a.c': text('a') });
    expect(await ignored()).toEqual([]);
    writeTree(root, {
      'node_modules/x/y': text('1'),
      'src/a.o': text('2'),
      '.env': text('3'),
      'build/made': text('4'),
      'build/more/x': text('5'),
    });
    const pathsOf = (...paths: string[]) => paths.map((path) => ({ root: 'main', path }));
    expect(await ignored()).toEqual(pathsOf('.env', 'build/', 'node_modules/', 'src/a.o'));
    expect(await ignored({ written: pathsOf('build/made') })).toEqual(
      pathsOf('.env', 'node_modules/', 'build/more/', 'src/a.o'),
    );
  });

  it('are named as many as the limit, the nearest to the root, whatever the order in which they are found', () => {
    const namesOf = (paths: readonly string[]) => {
      const names = new IgnoredNames();
      for (const path of paths) names.add(path, path.endsWith('d'));
      return names.names;
    };
    const near = Array.from({ length: MAX_IGNORED }, (_, number) => `f${String(number).padStart(3, '0')}`);
    const far = Array.from({ length: 3 * MAX_IGNORED }, (_, number) => `a/${number}`);
    expect(namesOf(['b/d', 'z', 'a'])).toEqual(['a', 'z', 'b/d/']);
    expect(namesOf(near)).toEqual(near);
    expect(namesOf([...far, ...near])).toEqual(near);
    expect(namesOf([...near, 'e'].reverse())).toEqual(['e', ...near.slice(0, -1)]);
  });

  it('are not named where the name is longer than the limit, or no UTF-8', () => {
    const names = new IgnoredNames();
    names.add('x'.repeat(MAX_IGNORED_BYTES), false);
    names.add('y'.repeat(MAX_IGNORED_BYTES), true);
    names.add('\xff', false);
    names.add('\xc3\xa9', false);
    expect(names.names).toEqual(['x'.repeat(MAX_IGNORED_BYTES), 'é']);
  });

  it('give way where the snapshot has something else', async () => {
    writeTree(root, { '.gitignore': text('*.o\n'), 'a/b': text('1'), c: text('c') });
    const { id } = await store.take(filesAt(root));
    rmSync(join(root, 'a'), { recursive: true });
    rmSync(join(root, 'c'));
    writeTree(root, { a: text('file'), 'c/x.o': text('ignored'), '.gitignore': text('*') });
    const before = {
      '.gitignore': text('*.o\n'),
      a: { type: 'directory' },
      'a/b': text('1'),
      c: text('c'),
    } as Tree;
    await store.restore(filesAt(root), id);
    expect(readTree(root)).toEqual(before);
  });

  it('are held where git tracks them', async () => {
    writeTree(root, {
      '.gitignore': text('build/\n*.gen\n'),
      'build/tracked': text('t'),
      'build/other': text('o'),
      'x.gen': text('g'),
    });
    for (const version of ['2', '3', '4']) {
      rmSync(join(root, '.git'), { recursive: true, force: true });
      git('init', '-q');
      git('add', '-f', 'build/tracked', 'x.gen', '.gitignore');
      git('update-index', '--index-version', version);
      if (version === '3') git('update-index', '--skip-worktree', 'x.gen');
      expect(await held((await store.take(filesAt(root))).id)).toEqual([
        '.gitignore',
        'build/tracked',
        'x.gen',
      ]);
    }
  });

  it('are held where a tool wrote them, before and after', async () => {
    writeTree(root, { '.gitignore': text('build\n.env\n'), 'build/cache': text('c') });
    const written = [
      { root: 'main', path: 'build/out.txt' },
      { root: 'main', path: '.env' },
    ];
    const { id: before } = await store.take(filesAt(root), { written });
    writeTree(root, { 'build/out.txt': text('one'), '.env': text('two') });
    const { id: after } = await store.take(filesAt(root), { previous: before });
    expect(await held(after)).toEqual(['.env', '.gitignore', 'build/out.txt']);
    await store.restore(filesAt(root), before);
    expect(Object.keys(readTree(root)).sort()).toEqual(['.gitignore', 'build', 'build/cache']);
    await store.restore(filesAt(root), after);
    expect(readFileSync(join(root, 'build/out.txt'), 'utf8')).toBe('one');
    expect(existsSync(join(root, 'build/cache'))).toBe(true);
  });

  describe('of a person’s that a tool names', () => {
    const env = [{ root: 'main', path: '.env' }];
    const take = async (previous: string | undefined, options = {}) =>
      (await store.take(filesAt(root), { ...(previous !== undefined && { previous }), ...options })).id;
    const contentOf = (version: Version | undefined) =>
      version && (version.mode === '040000' ? 'a directory' : Buffer.from(version.content).toString());
    const changes = async (from: string, to: string) =>
      (await store.versions(from, to, 'main'))?.map(({ path, before, after }) => [
        path,
        contentOf(before),
        contentOf(after),
      ]);

    it('were in every snapshot that says nothing of them what the tool found', async () => {
      writeTree(root, { '.gitignore': text('.env\n'), '.env': text('mine\n'), a: text('a') });
      const first = await take(undefined);
      writeTree(root, { b: text('b') });
      const second = await take(first);
      const named = await take(second, { found: env });
      writeTree(root, { '.env': text('theirs\n') });
      const third = await take(named);
      writeTree(root, { '.env': text('again\n') });
      const fourth = await take(third, { written: env });
      rmSync(join(root, '.env'));
      const gone = await take(fourth);
      expect(await changes(second, named)).toEqual([]);
      expect(await changes(fourth, first)).toEqual([
        ['.env', 'again\n', 'mine\n'],
        ['b', 'b', undefined],
      ]);
      expect(await changes(fourth, second)).toEqual([['.env', 'again\n', 'mine\n']]);
      expect(await changes(fourth, third)).toEqual([['.env', 'again\n', 'theirs\n']]);
      expect(await changes(second, third)).toEqual([['.env', 'mine\n', 'theirs\n']]);
      expect(await changes(gone, second)).toEqual([['.env', undefined, 'mine\n']]);
      const [diff] = await store.diff(second, fourth);
      expect(diff?.files).toEqual([{ path: '.env', change: 'modified', added: 1, removed: 1 }]);
      expect(Buffer.from(diff?.patch ?? []).toString()).toContain('\n-mine\n+again\n');
      expect(await held(second)).toEqual(['.gitignore', 'a', 'b']);
    });

    it('are gone again where there were none, also unignored ones', async () => {
      writeTree(root, { '.gitignore': text('.env\n') });
      const before = await take(undefined);
      const named = await take(before, { found: env });
      writeTree(root, { '.env': text('theirs\n'), b: text('b') });
      const after = await take(named, { written: [...env, { root: 'main', path: 'b' }] });
      expect(await changes(after, before)).toEqual([
        ['.env', 'theirs\n', undefined],
        ['b', 'b', undefined],
      ]);
    });

    it('are what they were when a tool found them anew, after a way back', async () => {
      writeTree(root, { '.gitignore': text('.env\n'), '.env': text('one\n') });
      const begun = await take(undefined);
      const first = await take(begun, { found: env });
      writeTree(root, { '.env': text('two\n') });
      const named = await take(begun, { found: env });
      writeTree(root, { '.env': text('theirs\n') });
      const second = await take(named);
      expect(await changes(second, begun)).toEqual([['.env', 'theirs\n', 'two\n']]);
      expect(await store.holds(filesAt(root), second, env[0] as RootPath)).toBe(true);
      expect(await store.holds(filesAt(root), begun, env[0] as RootPath)).toBe(false);
      expect(await changes(first, begun)).toEqual([]);
      expect(await changes(second, first)).toEqual([['.env', 'theirs\n', 'one\n']]);
    });

    it('never stand where the other snapshot has something, or below a file of it', async () => {
      writeTree(root, { '.gitignore': text('out\n') });
      const files = [
        { root: 'main', path: 'out/x' },
        { root: 'main', path: 'out/y/z' },
      ];
      writeTree(root, { 'out/x': text('x'), 'out/y/z': text('z'), '.gitignore': text('out\n') });
      const named = await take(undefined, { found: files });
      rmSync(join(root, 'out'), { recursive: true });
      writeTree(root, { '.gitignore': text('\n'), out: text('a file') });
      const other = await take(undefined);
      expect(await changes(named, other)).toContainEqual(['out', undefined, 'a file']);
      expect(await changes(named, other)).toContainEqual(['out/y/z', 'z', undefined]);
      rmSync(join(root, 'out'));
      writeTree(root, { 'out/x': text('other'), '.gitignore': text('out\n') });
      const nothing = await take(undefined);
      expect(await changes(named, nothing)).toEqual([]);
    });

    it('are remembered by what is merged with theirs, and stay readable when all else is pruned', async () => {
      writeTree(root, { '.gitignore': text('.env\n'), '.env': text('remembered\n') });
      const begun = await take(undefined);
      const named = await take(begun, { found: env });
      writeTree(root, { '.env': text('theirs\n') });
      const theirs = await take(named);
      rmSync(join(root, '.env'));
      writeTree(root, { b: text('b') });
      const ours = await take(begun);
      const { id, conflicts } = await store.merge({ base: begun, ours, theirs });
      expect(conflicts).toEqual([]);
      expect(await changes(id, begun)).toEqual([
        ['.env', 'theirs\n', 'remembered\n'],
        ['b', 'b', undefined],
      ]);
      const path = join(base, 'merged.pack');
      await store.pack(id, { without: undefined, path });
      const objects = execFileSync('git', ['index-pack', '--stdin'], {
        ...{ cwd: base, input: readFileSync(path) },
        env: { PATH: '/usr/local/bin:/usr/bin:/bin', GIT_DIR: emptyRepository() },
      });
      expect(objects.toString()).toMatch(/^pack\t/);
      expect(git('--git-dir', join(base, 'other.git'), 'cat-file', '-p', REMEMBERED)).toBe('remembered\n');
    });
  });

  it('inside a nested repository are told by its own rules', async () => {
    writeTree(root, {
      '.gitignore': text('*.log\n'),
      'nested/.gitignore': text('tmp\n'),
      'nested/a.log': text('l'),
      'nested/tmp/x': text('x'),
    });
    execFileSync('git', ['init', '-q', join(root, 'nested')]);
    const { id } = await store.take(filesAt(root));
    const names = await held(id);
    expect(names).toContain('nested/a.log');
    expect(names).toContain('nested/.git/HEAD');
    expect(names).not.toContain('nested/tmp/x');
  });

  it('take no time that grows without bounds with a hostile pattern', async () => {
    writeTree(root, {
      '.gitignore': text(`${'*a'.repeat(100)}b\n${'**/'.repeat(50)}x\n`),
      ['a'.repeat(250)]: text('x'),
    });
    const started = performance.now();
    await store.take(filesAt(root));
    expect(performance.now() - started).toBeLessThan(20_000);
  });
});
