import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { userIdentity } from '../../src/workspace/git-identity.ts';
import { findWorkingCopy } from '../../src/workspace/working-copy.ts';

let base: string;
beforeEach(async () => {
  base = await realpath(await mkdtemp(join(tmpdir(), 'capybara-copy-')));
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await rm(base, { recursive: true, force: true });
});

async function put(...paths: readonly string[]): Promise<void> {
  for (const path of paths) {
    await mkdir(dirname(join(base, path)), { recursive: true });
    if (path.endsWith('/')) await mkdir(join(base, path), { recursive: true });
    else await writeFile(join(base, path), '');
  }
}

describe('findWorkingCopy', () => {
  const found = async (path: string, kind: 'local' | 'git' = 'local') => {
    await mkdir(join(base, path), { recursive: true });
    const copy = await findWorkingCopy({ root: join(base, path), kind });
    return copy && { ...copy, directory: copy.directory.slice(base.length + 1) };
  };

  test.each([
    ['git', ['p/.git/HEAD']],
    ['git', ['p/.git']],
    ['hg', ['p/.hg/']],
    ['svn', ['p/.svn/wc.db']],
    ['fossil', ['p/.fslckout']],
    ['fossil', ['p/_FOSSIL_']],
    ['jj', ['p/.jj/repo/']],
    // Git is where jj keeps its commits, and both have the files.
    ['jj', ['p/.jj/repo/', 'p/.git/HEAD']],
  ] as const)('finds %s by %j, from the root and below', async (name, paths) => {
    await put(...paths);
    expect(await found('p')).toEqual({ name, directory: 'p' });
    expect(await found('p/a/b')).toEqual({ name, directory: 'p' });
  });

  test('takes the nearest: a submodule, a nested repository of another system', async () => {
    await put('p/.git/HEAD', 'p/sub/.git', 'p/other/.hg/');
    expect(await found('p/sub/a')).toEqual({ name: 'git', directory: 'p/sub' });
    expect(await found('p/other')).toEqual({ name: 'hg', directory: 'p/other' });
  });

  test('takes the topmost of the directories that an old Subversion marked, and not those around a newer one', async () => {
    await put('old/.svn/entries', 'old/a/.svn/entries', 'old/a/b/.svn/entries');
    expect(await found('old/a/b')).toEqual({ name: 'svn', directory: 'old' });
    await put('new/.svn/wc.db', 'new/a/.svn/wc.db');
    expect(await found('new/a')).toEqual({ name: 'svn', directory: 'new/a' });
  });

  test('finds none where there is none, and nothing around a workspace of its own', async () => {
    expect(await found('p')).toBeUndefined();
    await put('p/.git/HEAD');
    expect(await found('p/inner', 'git')).toBeUndefined();
    expect(await found('p', 'git')).toEqual({ name: 'git', directory: 'p' });
  });
});

describe('userIdentity', () => {
  const USER = '[user]\n\tname = Ada Ü L\n\temail = ada@example.org\n';
  const git = (...args: string[]) => execFileSync('git', args, { cwd: base, stdio: 'pipe' });

  beforeEach(async () => {
    await put('home/');
    vi.stubEnv('HOME', join(base, 'home'));
    git('init', '-q', 'p');
  });

  test('is what the user configured for all, or for this directory', async () => {
    expect(await userIdentity(join(base, 'p'))).toEqual({});
    await writeFile(join(base, 'home/.gitconfig'), `${USER}[includeIf "gitdir:${base}/p/"]\n\tpath = work\n`);
    const known = { 'user.name': 'Ada Ü L', 'user.email': 'ada@example.org' };
    expect(await userIdentity(join(base, 'p'))).toEqual(known);
    await writeFile(join(base, 'home/work'), '[user]\n\temail = ada@work.example\n');
    expect(await userIdentity(join(base, 'p'))).toEqual({ ...known, 'user.email': 'ada@work.example' });
    // Where there is no repository (yet).
    expect(await userIdentity(join(base, 'home'))).toEqual(known);
  });

  test('leaves out what the repository says itself: a command sees that', async () => {
    await writeFile(join(base, 'home/.gitconfig'), USER);
    git('-C', 'p', 'config', 'user.email', 'here@example.org');
    expect(await userIdentity(join(base, 'p'))).toEqual({ 'user.name': 'Ada Ü L' });
  });

  test('is nothing where git is missing, and runs nothing that a configuration names', async () => {
    await writeFile(join(base, 'home/.gitconfig'), USER);
    expect(await userIdentity(join(base, 'p'), { searchPath: '/nowhere' })).toEqual({});
    await writeFile(join(base, 'p/.git/config'), '[broken');
    expect(await userIdentity(join(base, 'p'))).toEqual({});
  });
});
