/** What a session that begins with a git repository finds, by real git from a real server. */
import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { bareOf, commit, git } from '../support/git-server.ts';
import { placesIn, useGitWorld } from './git-harness.ts';

const world = useGitWorld();
const read = (directory: string, name: string) => readFileSync(join(directory, name), 'utf8');

describe('a clone', () => {
  test('stands on the default branch, with its history, its remote and nothing of the cache', async () => {
    const found = await world.clone({}, ({ directory, commit: at }) => {
      const config = read(directory, '.git/config');
      return {
        at,
        config,
        readme: read(directory, 'readme.md'),
        status: git(directory, 'status', '--porcelain=v2', '--branch'),
        log: git(directory, 'log', '-p', '--format=%s'),
        fsck: git(directory, 'fsck', '--full'),
        alternates: existsSync(join(directory, '.git/objects/info/alternates')),
        hooks: existsSync(join(directory, '.git/hooks')),
        all: git(directory, 'for-each-ref', '--format=%(refname)'),
        origin: git(directory, 'symbolic-ref', 'refs/remotes/origin/HEAD'),
      };
    });
    expect(found).toMatchObject({
      at: world.tip,
      readme: 'two\n',
      alternates: false,
      hooks: false,
      fsck: '',
    });
    expect(found.status).toBe(
      `# branch.oid ${world.tip}\n# branch.head main\n# branch.upstream origin/main\n# branch.ab +0 -0`,
    );
    expect(found.log).toContain('run();');
    expect(found.origin).toBe('refs/remotes/origin/main');
    expect(found.all.split('\n')).toEqual([
      'refs/heads/main',
      'refs/remotes/origin/HEAD',
      'refs/remotes/origin/main',
      'refs/tags/v1',
      'refs/tags/v2',
    ]);
    expect(found.config).toContain(`url = ${world.app}`);
    expect(found.config).not.toContain(world.dataDir);
    expect(placesIn(world.dataDir)).toHaveLength(1);
    expect(readdirSync(join(world.dataDir, 'repositories', placesIn(world.dataDir)[0] ?? ''))).not.toContain(
      'clone',
    );
  });

  test.each([
    ['a branch', 'feature/one', 'feature/one'],
    ['a branch by its whole name', 'refs/heads/feature/one', 'feature/one'],
    ['a tag', 'v1', '(detached)'],
    ['an annotated tag', 'v2', '(detached)'],
    ['a tag by its whole name', 'refs/tags/v2', '(detached)'],
    ['a tag beside every branch', 'only-by-tag', '(detached)'],
    ['HEAD', 'HEAD', 'main'],
  ])('of %s is where that leads', async (_, ref, head) => {
    const found = await world.clone({ ref: ref === 'HEAD' ? null : ref }, ({ directory, commit: at }) => ({
      at,
      state: git(directory, 'status', '--porcelain=v2', '--branch').split('\n'),
      main: git(directory, 'rev-parse', 'origin/main'),
    }));
    const bare = join(world.root, 'app.git');
    expect(found.at).toBe(git(bare, 'rev-parse', `${ref}^{commit}`));
    expect(found.state[1]).toBe(`# branch.head ${head}`);
    expect(found.state.filter((line) => !line.startsWith('#'))).toEqual([]);
    expect(found.main).toBe(world.tip);
  });

  test.each([
    ['whole, of a tip', () => world.tip],
    ['whole, of an old one', () => world.first],
    ['short, of a tip', () => world.tip.slice(0, 8)],
    ['short, of an old one', () => world.first.slice(0, 12)],
    ['in capitals', () => world.first.toUpperCase()],
  ])('of a commit, %s, is on it', async (_, ref) => {
    const found = await world.clone({ ref: ref() }, ({ directory, commit: at }) => ({
      at,
      head: git(directory, 'rev-parse', 'HEAD'),
      branch: git(directory, 'branch', '--show-current'),
    }));
    const at = ref().toLowerCase();
    expect(found.at?.startsWith(at)).toBe(true);
    expect(found).toMatchObject({ head: found.at, branch: '' });
  });

  test('of an empty repository is an empty repository', async () => {
    git(world.root, 'init', '-q', '--bare', '-b', 'main', 'empty.git');
    const url = world.server.url('empty.git');
    const found = await world.clone({ url }, ({ directory, commit: at }) => ({
      at,
      names: readdirSync(directory),
      head: read(directory, '.git/HEAD'),
    }));
    expect(found).toEqual({ at: null, names: ['.git'], head: 'ref: refs/heads/main\n' });
    expect(await world.failure({ url, ref: 'main' })).toMatchObject({
      code: 'ref_not_found',
      message: `There is no branch, tag or commit 'main' in ${url}. It is empty.`,
    });
  });

  test('of a repository with SHA-256 names is one', async () => {
    const work = join(world.root, 'wide');
    mkdirSync(work);
    git(work, 'init', '-q', '-b', 'main', '--object-format=sha256');
    const id = commit(work, { a: 'a' }, 'wide');
    git(world.root, 'clone', '-q', '--mirror', work, 'wide.git');
    const url = world.server.url('wide.git');
    expect(await world.clone({ url }, ({ commit: at }) => at)).toBe(id);
    expect(await world.clone({ url, ref: id }, ({ commit: at }) => at)).toBe(id);
  });

  test.each([
    ['a branch', 'no-such'],
    ['a whole commit', 'f'.repeat(40)],
    ['a ref', 'refs/pull/1/head'],
  ])('of %s that is not there is none, and says what is', async (_, ref) => {
    expect(await world.failure({ ref })).toEqual({
      kind: 'terminal',
      code: 'ref_not_found',
      message: `There is no branch, tag or commit '${ref}' in ${world.app}. Its branches: feature/one, main.`,
    });
  });

  test('of the beginning of no commit, or of several, is none', async () => {
    expect(await world.failure({ ref: 'fffffff' })).toMatchObject({
      kind: 'terminal',
      message: `There is no branch, tag or commit 'fffffff' in ${world.app}, or several commits begin so. Its branches: feature/one, main.`,
    });
  });

  test('of a tag that is on no commit is none', async () => {
    const bare = bareOf(world.root, join(world.root, 'app.git'), 'odd.git');
    git(bare, 'tag', 'tree', 'main^{tree}');
    expect(await world.failure({ url: world.server.url('odd.git'), ref: 'tree' })).toMatchObject({
      code: 'ref_not_found',
    });
  });

  test('follows a branch that was written anew, and branches in the place of one that is gone', async () => {
    const work = join(world.root, 'moving');
    git(world.root, 'clone', '-q', 'app.git', 'moving');
    git(work, 'checkout', '-q', '-b', 'a');
    commit(work, { x: '1' }, 'old');
    bareOf(world.root, work, 'moving.git');
    const url = world.server.url('moving.git');
    const at = (ref: string) => world.clone({ url, ref }, (cloned) => cloned.commit);
    const push = () => git(work, 'push', '-q', '--mirror', '--force', '../moving.git');
    expect(await at('a')).toBe(git(work, 'rev-parse', 'a'));
    git(work, 'reset', '-q', '--hard', 'HEAD~1');
    const anew = commit(work, { x: '2' }, 'anew');
    push();
    expect(await at('a')).toBe(anew);
    expect(await at(anew.slice(0, 9))).toBe(anew);
    git(work, 'branch', '-m', 'a', 'b');
    git(work, 'branch', '-m', 'b', 'a/b');
    git(join(world.root, 'moving.git'), 'update-ref', '-d', 'refs/heads/a');
    push();
    expect(await at('a/b')).toBe(anew);
    git(work, 'reset', '-q', '--hard', 'HEAD~1');
    const behind = git(work, 'rev-parse', 'HEAD~1');
    expect(await at(behind.slice(0, 9))).toBe(behind);
    expect(placesIn(world.dataDir)).toHaveLength(1);
  });

  test('takes what is new alone, from what was fetched before for the same team', async () => {
    const posts = () => world.server.requests.filter((line) => line.startsWith('POST')).length;
    await world.clone({}, () => undefined);
    const before = posts();
    await world.clone({}, () => undefined);
    const again = posts() - before;
    await world.clone({ teamId: 'others' }, () => undefined);
    expect(again).toBeLessThan(before);
    expect(readdirSync(join(world.dataDir, 'repositories')).toSorted()).toEqual(['others', 'team']);
  });
});
