/** A session's result as a git bundle, fetched by real git into the repository that it began with. */
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { openSnapshots } from '../../src/workspace/snapshots/open-snapshots.ts';
import type { BundleRequest, Snapshots } from '../../src/workspace/snapshots/snapshots.ts';
import { git } from '../support/cli.ts';
import { filesAt, writeTree } from './snapshots-harness.ts';

let place: string;
let root: string;
let shelf: string;
let snapshots: Snapshots;
beforeAll(() => {
  shelf = mkdtempSync(join(tmpdir(), 'capybara-shelf-'));
  snapshots = openSnapshots({ directory: shelf });
});
afterAll(async () => {
  await snapshots.close();
  rmSync(shelf, { recursive: true });
});
beforeEach(() => {
  place = mkdtempSync(join(tmpdir(), 'capybara-bundle-'));
  root = join(place, 'root');
  mkdirSync(root);
});
afterEach(() => rmSync(place, { recursive: true }));

const take = async () => (await snapshots.of('bundle').take(filesAt(root))).id;
const COMMIT = {
  root: 'main',
  author: 'Ada <L>',
  at: 1_700_000_000_000,
  message: 'Mend it',
  branch: 'capybara/ses_1',
};

async function bundle(from: string, to: string, more: Partial<BundleRequest> = {}): Promise<string> {
  const bytes = await snapshots.of('bundle').bundle({ from, to, ...COMMIT, ...more });
  if (!(bytes instanceof Uint8Array)) throw new Error(`no bundle: ${bytes}`);
  const file = join(place, 'session.bundle');
  writeFileSync(file, bytes);
  return file;
}

function begin(files: Record<string, string>): void {
  for (const [path, content] of Object.entries(files)) writeFileSync(join(root, path), content);
  git(root, 'init', '--quiet', '--initial-branch=main');
  git(root, 'add', '--all');
  git(root, 'commit', '--quiet', '--message', 'Begin');
}

test('is one commit on the one that the repository was at, by the session’s user, with the trailer', async () => {
  begin({ a: 'one\n', gone: 'x\n', same: 'same\n' });
  const from = await take();
  writeTree(root, {
    a: { type: 'file', content: 'two\n' },
    'new/run': { type: 'file', content: '#!\n', executable: true },
  });
  rmSync(join(root, 'gone'));
  symlinkSync('a', join(root, 'link'));
  const file = await bundle(from, await take());
  const mine = join(place, 'mine');
  git(place, 'clone', '--quiet', root, mine);
  git(mine, 'checkout', '--quiet', '--force', 'main');
  expect(git(mine, 'bundle', 'verify', file)).toContain('requires this ref');
  git(mine, 'fetch', '--quiet', file);
  expect(git(mine, 'rev-parse', 'FETCH_HEAD^')).toBe(git(mine, 'rev-parse', 'main'));
  expect(git(mine, 'show', '--no-patch', '--format=%an|%ae|%cn|%ce|%at|%B', 'FETCH_HEAD').trim()).toBe(
    'Ada L||Capybara Vibe|agent@capybara.ai|1700000000|Mend it\n\nCo-authored-by: Capybara Vibe <agent@capybara.ai>',
  );
  expect(
    git(mine, 'log', '-1', '--format=%(trailers:key=Co-authored-by,valueonly)', 'FETCH_HEAD').trim(),
  ).toBe('Capybara Vibe <agent@capybara.ai>');
  expect(git(mine, 'diff', '--no-renames', '--name-status', 'main', 'FETCH_HEAD')).toBe(
    'M\ta\nD\tgone\nA\tlink\nA\tnew/run\n',
  );
  expect(git(mine, 'ls-tree', 'FETCH_HEAD', 'new/run')).toMatch(/^100755/);
  expect(git(mine, 'fsck', '--strict')).not.toContain('error');
});

test('leaves out what the user had not committed, but for files that the session changed', async () => {
  begin({ a: 'one\n', b: 'one\n' });
  writeFileSync(join(root, 'b'), 'mine, not committed\n');
  writeFileSync(join(root, 'scratch'), 'mine, not added\n');
  writeFileSync(join(root, 'staged'), 'staged\n');
  git(root, 'add', 'staged');
  const from = await take();
  writeFileSync(join(root, 'a'), 'two\n');
  const file = await bundle(from, await take());
  git(root, 'fetch', '--quiet', file, 'capybara/ses_1:result');
  expect(git(root, 'diff', '--name-only', 'main', 'result')).toBe('a\nstaged\n');
});

test('keeps submodules, and what filters made of files', async () => {
  begin({ a: 'one\n', '.gitattributes': 'crlf text\n', crlf: 'x\r\ny\r\n' });
  git(root, 'update-index', '--add', '--cacheinfo', `160000,${'1'.repeat(40)},sub`);
  git(root, 'commit', '--quiet', '--message', 'A submodule');
  const from = await take();
  writeFileSync(join(root, 'a'), 'two\n');
  const file = await bundle(from, await take());
  git(root, 'fetch', '--quiet', '--no-recurse-submodules', file, 'HEAD:result');
  expect(git(root, 'diff', '--name-only', 'main', 'result')).toBe('a\n');
  expect(git(root, 'ls-tree', 'result', 'sub')).toContain(`160000 commit ${'1'.repeat(40)}`);
});

test('holds only what is new', async () => {
  begin({ big: Array.from({ length: 50_000 }, (_, n) => `${n * n}\n`).join(''), a: 'one\n' });
  const from = await take();
  writeFileSync(join(root, 'a'), 'two\n');
  const bytes = await snapshots.of('bundle').bundle({ from, to: await take(), ...COMMIT });
  expect((bytes as Uint8Array).length).toBeLessThan(2_000);
});

test('of what was no repository stands on the files that it began with', async () => {
  writeTree(root, { a: { type: 'file', content: 'one\n' }, 'd/e': { type: 'directory' } });
  const from = await take();
  writeFileSync(join(root, 'b'), 'new\n');
  const file = await bundle(from, await take());
  const copy = join(place, 'copy');
  git(place, 'clone', '--quiet', '--branch', 'capybara/ses_1', file, copy);
  expect(git(copy, 'log', '--format=%s')).toBe('Mend it\nThe files that the session began with\n');
  expect(git(copy, 'diff', '--name-status', 'HEAD^', 'HEAD')).toBe('A\tb\n');
  expect(git(copy, 'status', '--porcelain')).toBe('');
});

test('of a repository with no commit yet, or whose index cannot be gone on with, stands alone', async () => {
  git(root, 'init', '--quiet');
  writeFileSync(join(root, 'a'), 'one\n');
  const empty = await take();
  writeFileSync(join(root, 'a'), 'two\n');
  const file = await bundle(empty, await take());
  expect(git(root, 'bundle', 'verify', file)).toContain('complete history');
  git(root, 'add', '--all');
  git(root, 'commit', '--quiet', '--message', 'Begin');
  writeFileSync(join(root, '.git/index'), 'no index at all');
  const broken = await take();
  writeFileSync(join(root, 'a'), 'three\n');
  expect(git(place, 'bundle', 'list-heads', await bundle(broken, await take()))).toContain(
    'refs/heads/capybara/ses_1',
  );
});

test('where a directory became a file, and a file a directory, is right', async () => {
  mkdirSync(join(root, 'd'));
  writeFileSync(join(root, 'd/x'), 'x\n');
  begin({ f: 'f\n' });
  const from = await take();
  rmSync(join(root, 'd'), { recursive: true });
  rmSync(join(root, 'f'));
  writeTree(root, { d: { type: 'file', content: 'd\n' }, 'f/x': { type: 'file', content: 'y\n' } });
  git(root, 'fetch', '--quiet', await bundle(from, await take()), 'HEAD:result');
  expect(git(root, 'ls-tree', '-r', '--name-only', 'result')).toBe('d\nf/x\n');
});

test('of nothing is none, and a name that is none gives one nevertheless', async () => {
  begin({ a: 'one\n' });
  const from = await take();
  expect(await snapshots.of('bundle').bundle({ from, to: from, ...COMMIT })).toBe('unchanged');
  writeFileSync(join(root, 'a'), 'two\n');
  git(root, 'fetch', '--quiet', await bundle(from, await take(), { author: ' <>\n ' }), 'HEAD:result');
  expect(git(root, 'show', '--no-patch', '--format=%an', 'result').trim()).toBe('Somebody');
});

test('of more than the limit there is none, and no changes file by file either', async () => {
  writeFileSync(join(root, 'a'), '12345');
  const from = await take();
  writeFileSync(join(root, 'a'), '67890');
  const to = await take();
  const limited = async (diffBytes: number) => {
    const limits = openSnapshots({ directory: shelf, limits: { diffBytes } });
    const store = limits.of('bundle');
    const found = [await store.versions(from, to, 'main'), await store.bundle({ from, to, ...COMMIT })];
    await limits.close();
    return found;
  };
  expect(await limited(10)).toEqual([[expect.objectContaining({ path: 'a' })], undefined]);
  expect(await limited(9)).toEqual([undefined, undefined]);
  const whole = await snapshots.of('bundle').bundle({ from, to, ...COMMIT });
  expect((await limited((whole as Uint8Array).length))[1]).toBeInstanceOf(Uint8Array);
});
