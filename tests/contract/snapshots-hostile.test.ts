/** Nothing in a workspace makes a snapshot run, read, write or change what it should not, and what it cannot hold is told. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openSnapshots } from '../../src/workspace/snapshots/open-snapshots.ts';
import type { SnapshotStore, Snapshots } from '../../src/workspace/snapshots/snapshots.ts';
import { emptyDirectory, filesAt, readTree, type Tree, writeTree } from './snapshots-harness.ts';

let base: string;
let root: string;
let snapshots: Snapshots;
let store: SnapshotStore;

beforeEach(() => {
  base = realpathSync(mkdtempSync(join(tmpdir(), 'capybara-hostile-')));
  root = join(base, 'work');
  mkdirSync(root);
  snapshots = openSnapshots({
    directory: join(base, 'store'),
    limits: { fileBytes: 10_000_000, entries: 500, ruleSteps: 1_000_000, depth: 20 },
  });
  store = snapshots.of('hostile');
});

afterEach(async () => {
  await snapshots.close();
  execFileSync('chmod', ['-R', 'u+rwX', base]);
  rmSync(base, { recursive: true });
});

const text = (content: string) => ({ type: 'file', content }) as const;
const mark = () => join(base, 'it-ran');

/** A restore elsewhere gives the same bytes. */
async function comesBack(tree: Tree): Promise<void> {
  const { id } = await store.take(filesAt(root));
  const copy = join(base, 'copy');
  emptyDirectory(copy);
  await store.restore(filesAt(copy), id);
  expect(readTree(copy)).toEqual(tree);
}

describe('a hostile repository', () => {
  it('runs no program of its own, by hook, filter, monitor, text conversion or pager', async () => {
    execFileSync('git', ['init', '-q', root]);
    const program = join(root, 'evil.sh');
    writeFileSync(program, `#!/bin/sh\ntouch '${mark()}'\ncat\n`, { mode: 0o755 });
    const evil = `[core]\n\tfsmonitor = ${program}\n\thooksPath = ${root}/hooks\n\tpager = ${program}\n\tsshCommand = ${program}\n\teditor = ${program}
[filter "x"]\n\tclean = ${program}\n\tsmudge = ${program}\n\tprocess = ${program}\n\trequired = true\n[diff "x"]\n\ttextconv = ${program}\n\tcommand = ${program}
[merge "x"]\n\tdriver = ${program}\n[extensions]\n\tobjectFormat = sha256\n[include]\n\tpath = /dev/zero\n`;
    writeFileSync(join(root, '.git/config'), evil);
    writeFileSync(join(root, '.gitconfig'), evil);
    writeTree(root, {
      '.gitattributes': text(
        '* filter=x diff=x merge=x text eol=crlf ident export-subst working-tree-encoding=UTF-16\n',
      ),
    });
    writeTree(root, {
      'a.txt': text('$Id$ $Format:%H$\r\none\n'),
      '.git/index.lock': text(''),
      '.git/hooks/post-index-change': text('x'),
    });
    const tree = readTree(root);
    const { id } = await store.take(filesAt(root));
    writeFileSync(join(root, 'a.txt'), 'two\n');
    const next = await store.take(filesAt(root), { previous: id });
    const [diff] = await store.diff(id, next.id);
    expect(Buffer.from(diff?.patch ?? []).toString()).toContain('-$Id$ $Format:%H$\r\n-one\n+two\n');
    await store.restore(filesAt(root), id);
    expect(readTree(root)).toEqual(tree);
    expect(existsSync(mark())).toBe(false);
  });

  it('is not followed out of the workspace by a .git file or a symbolic link', async () => {
    mkdirSync(join(base, 'outside'));
    writeFileSync(join(base, 'outside/secret'), 'secret');
    writeTree(root, {
      '.git': text(`gitdir: ${base}/outside\n`),
      link: { type: 'link', to: '../outside' },
      '.gitignore': { type: 'link', to: '../outside/secret' },
      'n/.git': { type: 'link', to: '../../outside' },
    });
    await comesBack({
      '.git': text(`gitdir: ${base}/outside\n`),
      link: { type: 'link', to: '../outside' },
      '.gitignore': { type: 'link', to: '../outside/secret' },
      n: { type: 'directory' },
      'n/.git': { type: 'link', to: '../../outside' },
    });
  });

  it('keeps what agents commit, staged or not, in nested repositories too', async () => {
    for (const path of [root, join(root, 'nested')]) {
      execFileSync('git', ['init', '-q', path]);
      writeFileSync(join(path, 'file'), 'x');
      execFileSync('git', ['-C', path, 'add', 'file']);
      execFileSync('git', [
        '-C',
        path,
        '-c',
        'user.name=a',
        '-c',
        'user.email=a@b.c',
        'commit',
        '-qm',
        'first',
      ]);
    }
    const { id } = await store.take(filesAt(root));
    const copy = join(base, 'copy');
    mkdirSync(copy);
    await store.restore(filesAt(copy), id);
    for (const path of [copy, join(copy, 'nested')]) {
      expect(execFileSync('git', ['-C', path, 'log', '--format=%s'], { encoding: 'utf8' })).toBe('first\n');
      expect(execFileSync('git', ['-C', path, 'fsck', '--strict'], { encoding: 'utf8' })).toBe('');
    }
    expect(readTree(copy)).toEqual(readTree(root));
  });
});

describe('what a snapshot cannot hold', () => {
  it('is left out and told: pipes, sockets, huge files, directories too deep', async () => {
    execFileSync('mkfifo', [join(root, 'pipe')]);
    const server = createServer().listen(join(root, 'socket'));
    await once(server, 'listening');
    writeFileSync(join(root, 'huge'), '');
    truncateSync(join(root, 'huge'), 10_000_000_000);
    writeFileSync(join(root, 'large'), '');
    truncateSync(join(root, 'large'), 10_000_000);
    const deep = Array.from({ length: 30 }, (_, level) => `${level}`);
    mkdirSync(join(root, ...deep), { recursive: true });
    const { id, leftOut } = await store.take(filesAt(root));
    expect(leftOut.toSorted((a, b) => (a.path < b.path ? -1 : 1))).toEqual([
      { root: 'main', path: deep.slice(0, 21).join('/'), reason: 'too_deep' },
      { root: 'main', path: 'huge', reason: 'too_large' },
      { root: 'main', path: 'pipe', reason: 'special' },
      { root: 'main', path: 'socket', reason: 'special' },
    ]);
    // It stays where the snapshot was taken with it there, and goes where it was not.
    execFileSync('mkfifo', [join(root, 'pipe2')]);
    expect(await store.isClean(filesAt(root), id)).toBe(false);
    await store.restore(filesAt(root), id);
    expect(readdirSync(root).sort()).toEqual(['0', 'huge', 'large', 'pipe', 'socket']);
    const copy = join(base, 'copy');
    mkdirSync(copy);
    await store.restore(filesAt(copy), id);
    expect(readdirSync(copy).sort()).toEqual(['0', 'large']);
    expect(statSync(join(copy, 'large')).size).toBe(10_000_000);
    server.close();
    await once(server, 'close');
  });

  it('is nothing at all where there are too many files, and says the limit', async () => {
    for (let number = 0; number < 500; number += 1) writeFileSync(join(root, `${number}`), '');
    await store.take(filesAt(root));
    writeFileSync(join(root, 'one more'), '');
    await expect(store.take(filesAt(root))).rejects.toMatchObject({
      code: 'too_many_files',
      message: expect.stringContaining('more than 500 files'),
    });
  });

  it('is nothing at all where its ignore files take too long to be compared with its files', async () => {
    for (let number = 0; number < 100; number += 1)
      writeFileSync(join(root, `${'a'.repeat(100)}${number}`), '');
    writeFileSync(join(root, '.gitignore'), '*a*b\n'.repeat(10));
    await store.take(filesAt(root));
    writeFileSync(join(root, '.gitignore'), '*a*b\n'.repeat(100));
    await expect(store.take(filesAt(root))).rejects.toMatchObject({ code: 'too_many_rules' });
    writeFileSync(join(root, '.gitignore'), 'a*\n'.repeat(100));
    await store.take(filesAt(root));
  });
});

describe('a change', () => {
  it('is seen though size and times are what they were', async () => {
    const file = join(root, 'a');
    writeFileSync(file, 'aaaa');
    let { id } = await store.take(filesAt(root));
    for (const content of ['bbbb', 'cccc', 'dddd', 'eeee']) {
      const { atime, mtime } = statSync(file);
      writeFileSync(file, content);
      utimesSync(file, atime, mtime);
      const next = await store.take(filesAt(root), { previous: id });
      expect(next.changed, content).toBe(true);
      id = next.id;
    }
  });

  it('in the middle of reading leaves a snapshot that holds together', async () => {
    const file = join(root, 'log');
    writeFileSync(file, '');
    const child = spawn('sh', ['-c', 'i=0; while :; do echo $i >> log; i=$((i+1)); done'], { cwd: root });
    try {
      for (let round = 0; round < 4; round += 1) {
        const { id } = await store.take(filesAt(root));
        const copy = join(base, 'copy');
        emptyDirectory(copy);
        await store.restore(filesAt(copy), id);
        const lines = readFileSync(join(copy, 'log'), 'utf8').split('\n').slice(0, -1);
        expect(lines.slice(0, -1)).toEqual(lines.slice(0, -1).map((_, index) => `${index}`));
      }
    } finally {
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
  });
});

describe('a restore', () => {
  it('goes through no link that took the place of a directory', async () => {
    writeTree(root, { 'd/a': text('a'), 'd/sub/b': text('b'), e: text('e') });
    const { id } = await store.take(filesAt(root));
    const outside = join(base, 'outside');
    writeTree(outside, { a: text('precious'), 'sub/b': text('precious'), other: text('precious') });
    const before = readTree(outside);
    rmSync(join(root, 'd'), { recursive: true });
    symlinkSync(outside, join(root, 'd'));
    rmSync(join(root, 'e'));
    symlinkSync(join(outside, 'a'), join(root, 'e'));
    symlinkSync(outside, join(root, 'f'));
    await store.restore(filesAt(root), id);
    expect(readTree(root)).toEqual({
      d: { type: 'directory' },
      'd/a': text('a'),
      'd/sub': { type: 'directory' },
      'd/sub/b': text('b'),
      e: text('e'),
    });
    expect(readTree(outside)).toEqual(before);
  });

  it('puts right permissions, kinds and depths that a dying command left', async () => {
    const tree: Tree = {
      'd/a': text('a'),
      'd/s/b': text('b'),
      f: text('f'),
      x: { type: 'file', content: '#!', executable: true },
    };
    writeTree(root, tree);
    const whole = readTree(root);
    const { id } = await store.take(filesAt(root));
    chmodSync(join(root, 'f'), 0o000);
    chmodSync(join(root, 'x'), 0o644);
    renameSync(join(root, 'd/a'), join(root, 'd/was'));
    mkdirSync(join(root, 'd/a/deep/er'), { recursive: true });
    chmodSync(join(root, 'd/a/deep'), 0o000);
    let below = join(root, 'd');
    for (let level = 0; level < 300; level += 1) {
      below = join(below, 'n');
      mkdirSync(below);
    }
    chmodSync(join(root, 'd'), 0o000);
    await store.restore(filesAt(root), id);
    expect(readTree(root)).toEqual(whole);
    expect(lstatSync(join(root, 'f')).mode & 0o400).toBe(0o400);
    expect(lstatSync(join(root, 'd')).mode & 0o700).toBe(0o700);
  });

  it('gives what root makes to the owner of its directory', async () => {
    if (process.getuid?.() !== 0) return;
    writeTree(root, { 'd/a': text('a'), 'd/l': { type: 'link', to: 'a' } });
    execFileSync('chown', ['-R', '-h', '65534:65534', root]);
    const { id } = await store.take(filesAt(root));
    rmSync(join(root, 'd'), { recursive: true });
    await store.restore(filesAt(root), id);
    for (const path of ['d', 'd/a', 'd/l']) expect(lstatSync(join(root, path)).uid).toBe(65_534);
  });
});
