/** Repositories whose authors mean harm: nothing of them is run, written outside the clone, or kept from the next session. */
import { existsSync, lstatSync, mkdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { git, gitWith } from '../support/git-server.ts';
import { useGitWorld } from './git-harness.ts';

const world = useGitWorld();
let made = 0;

interface Entry {
  readonly path: string;
  readonly text: string;
  readonly mode?: '100644' | '100755' | '120000';
}

/** A repository of one commit with these entries, written past git's own checks. */
function repositoryOf(entries: readonly Entry[]): string {
  const name = `hostile-${made++}.git`;
  const bare = join(world.root, name);
  git(world.root, 'init', '-q', '--bare', '-b', 'main', name);
  const lines = entries.map(({ path, text, mode = '100644' }) => {
    const id = gitWith(bare, { input: text }, ['hash-object', '-w', '--stdin']);
    return { path, line: `${mode} blob ${id}` };
  });
  const tree = treeOf(bare, lines);
  const commit = git(bare, 'commit-tree', '-m', 'hostile', tree);
  git(bare, 'update-ref', 'refs/heads/main', commit);
  return world.server.url(name);
}

/** Git's `mktree` takes any name. */
function treeOf(bare: string, lines: readonly { path: string; line: string }[]): string {
  const groups = Map.groupBy(lines, ({ path }) => path.split('/')[0] ?? '');
  const rows = [...groups].map(([name, within]) => {
    const [only] = within;
    if (within.length === 1 && only?.path === name) return `${only.line}\t${name}`;
    const below = within.map(({ path, line }) => ({ path: path.slice(name.length + 1), line }));
    return `040000 tree ${treeOf(bare, below)}\t${name}`;
  });
  return gitWith(bare, { input: `${rows.join('\n')}\n` }, ['mktree']);
}

const GITMODULES = (url: string) => `[submodule "x"]\n\tpath = x\n\turl = ${url}\n`;

test.each<[string, Entry[]]>([
  ['a file in .git', [{ path: '.git/config', text: '[core]\n\tfsmonitor = touch /tmp/owned\n' }]],
  ['a file .git', [{ path: '.git', text: 'gitdir: /\n' }]],
  ['a .git by another spelling', [{ path: '.GIT/hooks/post-checkout', text: '#!/bin/sh\n', mode: '100755' }]],
  ['a .git by the short name of a Windows disk', [{ path: 'git~1', text: 'gitdir: /\n' }]],
  ['a way up', [{ path: '..', text: 'x' }]],
  ['a submodule whose address is an option', [{ path: '.gitmodules', text: GITMODULES('-u./payload') }]],
  ['.gitmodules that are a link', [{ path: '.gitmodules', text: '/etc/passwd', mode: '120000' }]],
])('%s: the repository is refused', async (_, entries) => {
  const url = repositoryOf(entries);
  expect(await world.failure({ url })).toMatchObject({ kind: 'terminal', code: 'repository_broken' });
  expect(existsSync('/tmp/owned')).toBe(false);
});

describe('a repository', () => {
  test('with filters runs none: files are as the commit has them', async () => {
    const url = repositoryOf([
      { path: '.gitattributes', text: '* filter=lfs\n*.bin filter=evil diff=evil merge=evil\n' },
      { path: 'big.bin', text: 'version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n' },
    ]);
    const found = await world.clone({ url }, ({ directory }) =>
      readFileSync(join(directory, 'big.bin'), 'utf8'),
    );
    expect(found).toContain('git-lfs.github.com');
  });

  test('with links out of it has them as links, and nothing is written through them', async () => {
    const url = repositoryOf([
      { path: 'etc', text: '/etc', mode: '120000' },
      { path: 'up', text: '../../..', mode: '120000' },
      { path: 'self', text: 'self', mode: '120000' },
    ]);
    const found = await world.clone({ url }, ({ directory }) =>
      ['etc', 'up', 'self'].map((name) => readlinkSync(join(directory, name))),
    );
    expect(found).toEqual(['/etc', '../../..', 'self']);
  });

  test('with a link and a directory of one name, by capitals, has both', async () => {
    const url = repositoryOf([
      { path: 'A/file', text: 'in A' },
      { path: 'a', text: '.git/hooks', mode: '120000' },
    ]);
    const found = await world.clone({ url }, ({ directory }) => ({
      text: readFileSync(join(directory, 'A', 'file'), 'utf8'),
      isLink: lstatSync(join(directory, 'a')).isSymbolicLink(),
      hooks: existsSync(join(directory, '.git', 'hooks')),
    }));
    expect(found).toEqual({ text: 'in A', isLink: true, hooks: false });
  });

  test('with submodules has them as empty directories: none is fetched', async () => {
    const url = repositoryOf([{ path: '.gitmodules', text: GITMODULES(world.app) }]);
    const bare = join(world.root, url.split('/').at(-1) ?? '');
    const tree = gitWith(
      bare,
      { input: `${git(bare, 'ls-tree', 'main')}\n160000 commit ${world.tip}\tx\n` },
      ['mktree', '--missing'],
    );
    git(bare, 'update-ref', 'refs/heads/main', git(bare, 'commit-tree', '-m', 'with', tree));
    const before = world.server.requests.length;
    const names = await world.clone({ url }, ({ directory }) => ({
      isDirectory: lstatSync(join(directory, 'x')).isDirectory(),
      status: git(directory, 'status', '--porcelain'),
    }));
    expect(names).toEqual({ isDirectory: true, status: '' });
    expect(world.server.requests.slice(before).filter((line) => line.includes('app.git'))).toEqual([]);
  });

  test('of a few bytes that mean more files than a disk has is refused before any is written', async () => {
    const name = `bomb-${made++}.git`;
    git(world.root, 'init', '-q', '--bare', '-b', 'main', name);
    const bare = join(world.root, name);
    const blob = gitWith(bare, { input: 'x' }, ['hash-object', '-w', '--stdin']);
    let rows = Array.from({ length: 10 }, (_, index) => `100644 blob ${blob}\tf${index}`);
    for (let level = 0; level < 9; level += 1) {
      const tree = gitWith(bare, { input: `${rows.join('\n')}\n` }, ['mktree']);
      rows = Array.from({ length: 10 }, (_, index) => `040000 tree ${tree}\td${index}`);
    }
    const tree = gitWith(bare, { input: `${rows.join('\n')}\n` }, ['mktree']);
    git(bare, 'update-ref', 'refs/heads/main', git(bare, 'commit-tree', '-m', 'bomb', tree));
    const failure = await world.failure({ url: world.server.url(name) });
    expect(failure).toMatchObject({ kind: 'terminal', code: 'repository_too_large' });
    expect(failure.message).toContain('1000000 of them');
  });

  test('with dates and names that old tools wrote wrongly is cloned', async () => {
    const url = repositoryOf([{ path: 'a', text: 'a' }]);
    const bare = join(world.root, url.split('/').at(-1) ?? '');
    const tree = git(bare, 'rev-parse', 'main^{tree}');
    const text = `tree ${tree}\nauthor Ana <ana@example.com> 1 +051800\ncommitter Ana 1 +0000\n\nold\n`;
    const commit = gitWith(bare, { input: text }, [
      'hash-object',
      '-t',
      'commit',
      '-w',
      '--stdin',
      '--literally',
    ]);
    git(bare, 'update-ref', 'refs/heads/main', commit);
    expect(await world.clone({ url }, ({ commit: at }) => at)).toBe(commit);
  });

  test('whose branch is called like an option, or a calculation, is asked for in vain', async () => {
    mkdirSync(join(world.dataDir, 'nothing'));
    for (const ref of ['no-such-branch', 'main~1', 'main^{commit}']) {
      expect(await world.failure({ ref })).toMatchObject({ code: 'ref_not_found' });
    }
  });
});
