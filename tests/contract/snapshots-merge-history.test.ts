/** A merge of what version control keeps: a repository that it accepts, in which no commit of anybody is lost or goes untold. */
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openSnapshots } from '../../src/workspace/snapshots/open-snapshots.ts';
import type { Merged, SnapshotStore, Snapshots } from '../../src/workspace/snapshots/snapshots.ts';
import { emptyDirectory, filesAt } from './snapshots-harness.ts';

let base: string;
let root: string;
let snapshots: Snapshots;
let store: SnapshotStore;

beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), 'capybara-histories-'));
  root = join(base, 'merged');
  snapshots = openSnapshots({ directory: join(base, 'store'), threads: 1 });
  store = snapshots.of('merge');
});
afterEach(async () => {
  await snapshots.close();
  rmSync(base, { recursive: true });
});

function git(directory: string, ...args: string[]): string {
  const identity = ['-c', 'user.name=a', '-c', 'user.email=a@b.c', '-c', 'protocol.file.allow=always'];
  const env = { PATH: process.env.PATH, HOME: base, GIT_CONFIG_NOSYSTEM: '1' };
  return execFileSync('git', ['-C', directory, ...identity, ...args], {
    encoding: 'utf8',
    env,
    stdio: 'pipe',
  });
}

function commit(directory: string, name: string): string {
  writeFileSync(join(directory, name), name);
  git(directory, 'add', '-A');
  git(directory, 'commit', '-qm', name);
  return git(directory, 'rev-parse', 'HEAD').trim();
}

const subjects = (directory: string, ...revisions: string[]) =>
  git(directory, 'log', '--format=%s', ...revisions)
    .trim()
    .split('\n');

function repository(name: string): string {
  const directory = join(base, name);
  mkdirSync(directory);
  git(directory, 'init', '-q', '-b', 'main');
  commit(directory, 'start');
  return directory;
}

async function taken(directory: string): Promise<string> {
  return (await store.take(filesAt(directory))).id;
}

/** Sound for git, and all that the directories' references lead to in it, as commits that references lead to. */
function expectSound(directory: string, commits: readonly string[]): void {
  expect(git(directory, 'fsck', '--full', '--no-dangling')).toBe('');
  git(directory, 'status', '--short');
  const reachable = new Set(git(directory, 'log', '--all', '--reflog', '--format=%H').split('\n'));
  expect(commits.filter((each) => !reachable.has(each))).toEqual([]);
}

type Change = (directory: string) => void;

/** What a parent and its children made of copies of one directory, merged one child after the other into the parent's. */
async function histories(first: string, ours: Change, ...children: Change[]): Promise<Merged['conflicts'][]> {
  const begun = await taken(first);
  const made = await Promise.all(
    [ours, ...children].map((change, index) => {
      const copy = join(base, `copy-${index}`);
      cpSync(first, copy, { recursive: true, verbatimSymlinks: true });
      change(copy);
      return taken(copy);
    }),
  );
  let [head = ''] = made;
  const conflicts: Merged['conflicts'][] = [];
  for (const [index, theirs] of made.slice(1).entries()) {
    const merged = await store.merge({ base: begun, ours: head, theirs, label: `child-${index + 1}` });
    conflicts.push(merged.conflicts);
    head = merged.id;
  }
  emptyDirectory(root);
  await store.restore(filesAt(root), head);
  return conflicts;
}

const metadata = (keptAt?: string, path = '.git') => ({
  ...{ root: 'main', path, kind: 'metadata' },
  ...(keptAt !== undefined && { keptAt }),
});

describe('a merge of git histories', () => {
  test('takes the commits of the one that made some, though the other looked at its status', async () => {
    const conflicts = await histories(
      repository('first'),
      (ours) => {
        writeFileSync(join(ours, 'start'), 'edited');
        git(ours, 'add', '-A');
      },
      (theirs) => commit(theirs, 'second'),
    );
    expect(conflicts).toEqual([[]]);
    expectSound(root, []);
    expect(subjects(root)).toEqual(['second', 'start']);
    expect(git(root, 'status', '--short')).toBe(' M start\n');
  });

  test('keeps those of a parent and of two children, each under a reference of its own', async () => {
    const commits: string[] = [];
    const makes =
      (name: string): Change =>
      (each) =>
        commits.push(commit(each, name));
    const conflicts = await histories(repository('first'), makes('parent'), makes('one'), makes('two'));
    expect(conflicts).toEqual([[metadata('refs/capybara/child-1')], [metadata('refs/capybara/child-2')]]);
    expectSound(root, commits);
    expect(subjects(root)).toEqual(['parent', 'start']);
    expect(subjects(root, 'refs/capybara/child-1')).toEqual(['one', 'start']);
    expect(git(root, 'status', '--short')).toBe('?? one\n?? two\n');
    git(root, 'clean', '-fdq');
    git(root, 'merge', '-q', '-m', 'merge', 'refs/capybara/child-1', 'refs/capybara/child-2');
    expectSound(root, commits);
  });

  test('takes the first of two children’s as the parent’s, who made none', async () => {
    const makes =
      (name: string): Change =>
      (each) =>
        commit(each, name);
    const conflicts = await histories(repository('first'), () => {}, makes('one'), makes('two'));
    expect(conflicts).toEqual([[], [metadata('refs/capybara/child-2')]]);
    expectSound(root, []);
    expect(subjects(root)).toEqual(['one', 'start']);
    expect(git(root, 'status', '--short')).toBe('?? two\n');
  });

  test('counts as no history what git only keeps in another way', async () => {
    const first = repository('first');
    const packs: Change = (each) => git(each, 'gc', '--quiet', '--prune=now');
    const conflicts = await histories(first, (ours) => commit(ours, 'second'), packs, packs);
    expect(conflicts).toEqual([[], []]);
    expectSound(root, []);
    expect(subjects(root)).toEqual(['second', 'start']);
    rmSync(join(base, 'copy-0'), { recursive: true });
    rmSync(join(base, 'copy-1'), { recursive: true });
    rmSync(join(base, 'copy-2'), { recursive: true });
    expect(await histories(first, packs, (theirs) => commit(theirs, 'second'))).toEqual([[]]);
    expect(subjects(root)).toEqual(['second', 'start']);
  });

  test('keeps all branches, tags and what was stashed of one that went on beside another', async () => {
    const commits: string[] = [];
    const conflicts = await histories(
      repository('first'),
      (ours) => commits.push(commit(ours, 'parent')),
      (theirs) => {
        git(theirs, 'checkout', '-qb', 'topic/deep');
        commits.push(commit(theirs, 'topic'));
        git(theirs, 'tag', '-a', '-m', 'tag', 'v1');
        for (const text of ['one', 'two']) {
          writeFileSync(join(theirs, 'start'), text);
          git(theirs, 'stash', '-q');
          commits.push(git(theirs, 'rev-parse', 'stash@{0}').trim());
        }
        git(theirs, 'checkout', '-q', 'main');
        commits.push(commit(theirs, 'main'));
        git(theirs, 'pack-refs', '--all');
      },
    );
    expect(conflicts).toEqual([[metadata('refs/capybara/child-1')]]);
    expectSound(root, commits);
    expect(git(root, 'for-each-ref', '--format=%(refname)').trim().split('\n')).toEqual([
      'refs/capybara/child-1',
      'refs/capybara/child-1.heads/topic/deep',
      'refs/capybara/child-1.stash',
      'refs/capybara/child-1.tags/v1',
      'refs/heads/main',
    ]);
  });

  test('keeps what was kept before under the same name', async () => {
    const first = repository('first');
    const begun = await taken(first);
    const copies = ['parent', 'one', 'two'].map((name) => {
      cpSync(first, join(base, name), { recursive: true });
      commit(join(base, name), name);
      return taken(join(base, name));
    });
    const [parent = '', one = '', two = ''] = await Promise.all(copies);
    const merged = await store.merge({ base: begun, ours: parent, theirs: one, label: 'same' });
    const again = await store.merge({ base: begun, ours: merged.id, theirs: two, label: 'same' });
    expect(again.conflicts).toEqual([metadata('refs/capybara/same-2')]);
    expect(
      (await store.merge({ base: begun, ours: again.id, theirs: one, label: 'same' })).conflicts,
    ).toEqual([metadata(undefined)]);
  });

  test('keeps the repository that a child removed, and the commits that it went back behind', async () => {
    const first = repository('first');
    const lost = commit(first, 'second');
    git(first, 'branch', 'topic');
    const removed = await histories(
      first,
      () => {},
      (theirs) => rmSync(join(theirs, '.git'), { recursive: true }),
      (theirs) => {
        rmSync(join(theirs, '.git', 'objects'), { recursive: true });
        mkdirSync(join(theirs, '.git', 'objects'));
        rmSync(join(theirs, '.git', 'refs', 'heads', 'topic'));
        cpSync(join(first, '.git', 'objects'), join(theirs, '.git', 'objects'), { recursive: true });
        git(theirs, 'update-ref', 'refs/heads/main', 'main~1');
        rmSync(join(theirs, '.git', 'logs'), { recursive: true });
        writeFileSync(join(theirs, '.git', 'index.lock'), '');
      },
    );
    expect(removed).toEqual([[metadata()], []]);
    expectSound(root, [lost]);
    expect(subjects(root)).toEqual(['start']);
    expect(existsSync(join(root, '.git', 'index.lock'))).toBe(false);
    expect(git(root, 'for-each-ref', '--format=%(refname)', 'refs/capybara').trim().split('\n')).toEqual([
      'refs/capybara/child-2.before.heads/main',
      'refs/capybara/child-2.before.heads/topic',
    ]);
  });

  test('merges nested repositories and submodules each by itself', async () => {
    const first = repository('first');
    const library = repository('library');
    git(first, 'submodule', '--quiet', 'add', library, 'deps/library');
    git(first, 'commit', '-qm', 'submodule');
    mkdirSync(join(first, 'nested'));
    git(join(first, 'nested'), 'init', '-q', '-b', 'main');
    commit(join(first, 'nested'), 'start');
    const makes =
      (name: string, ...places: string[]): Change =>
      (each) => {
        for (const place of places) commit(join(each, place), name);
      };
    const conflicts = await histories(
      first,
      makes('parent', 'deps/library'),
      makes('one', 'deps/library', 'nested'),
      makes('two', 'nested'),
    );
    expect(conflicts).toEqual([
      [metadata('refs/capybara/child-1', '.git/modules/deps/library')],
      [metadata('refs/capybara/child-2', 'nested/.git')],
    ]);
    for (const place of ['', 'nested', 'deps/library']) expectSound(join(root, place), []);
    expect(subjects(join(root, 'deps/library'))).toEqual(['parent', 'start']);
    expect(subjects(join(root, 'deps/library'), 'refs/capybara/child-1')).toEqual(['one', 'start']);
    expect(subjects(join(root, 'nested'))).toEqual(['one', 'start']);
  });
});

const has = (program: string) => {
  try {
    execFileSync(program, ['version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
};

describe('a merge of other histories', () => {
  const hg = (directory: string, ...args: string[]) =>
    execFileSync('hg', args, {
      cwd: directory,
      encoding: 'utf8',
      env: { ...process.env, HGRCPATH: '', HGUSER: 'a' },
    });

  test.runIf(has('hg'))('keeps the parent’s where both went on, and tells it', async () => {
    const first = join(base, 'first');
    mkdirSync(first);
    hg(first, 'init');
    const makes =
      (name: string): Change =>
      (each) => {
        writeFileSync(join(each, name), name);
        hg(each, 'commit', '--addremove', '--quiet', '-m', name);
      };
    makes('start')(first);
    const conflicts = await histories(first, makes('parent'), makes('one'));
    expect(conflicts).toEqual([[metadata(undefined, '.hg')]]);
    expect(hg(root, 'log', '-T', '{desc}\n')).toBe('parent\nstart\n');
    expect(hg(root, 'status')).toBe('? one\n');
    expect(hg(root, 'verify', '--quiet')).toBe('');
    for (const copy of ['copy-0', 'copy-1']) rmSync(join(base, copy), { recursive: true });
    expect(await histories(first, () => {}, makes('one'))).toEqual([[]]);
    expect(hg(root, 'log', '-T', '{desc}\n')).toBe('one\nstart\n');
  });

  test('takes what a database wrote beside itself from where it takes the database', async () => {
    const first = join(base, 'first');
    mkdirSync(first);
    writeFileSync(join(first, '.fslckout'), 'base');
    const writes =
      (database: string, journal: string): Change =>
      (each) => {
        writeFileSync(join(each, '.fslckout'), database);
        writeFileSync(join(each, '.fslckout-journal'), journal);
      };
    const conflicts = await histories(first, () => {}, writes('one', 'of one'), writes('two', 'of two'));
    expect(conflicts).toEqual([[], [metadata(undefined, '.fslckout')]]);
    expect(readFileSync(join(root, '.fslckout-journal'), 'utf8')).toBe('of one');
  });
});
