/** Three-way: a session's beginning, its end, and what a person's directory has become meanwhile. */
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { streamOf } from '../../src/api/change-stream.ts';
import { type Applied, applyChanges, checkDirectory } from '../../src/cli/apply/apply.ts';
import { type FileChange, readChanges } from '../../src/cli/apply/changes.ts';
import { keepFiles } from '../../src/cli/apply/kept-files.ts';
import { perform } from '../../src/cli/apply/perform.ts';
import { planApply } from '../../src/cli/apply/plan.ts';
import { openSnapshots } from '../../src/workspace/snapshots/open-snapshots.ts';
import type { Snapshots, TakeOptions } from '../../src/workspace/snapshots/snapshots.ts';
import { emptyDirectory, filesAt, readTree, type Tree, writeTree } from '../contract/snapshots-harness.ts';

let place: string;
let mine: string;
let snapshots: Snapshots;
let shelf: string;
beforeAll(() => {
  shelf = mkdtempSync(join(tmpdir(), 'capybara-shelf-'));
  snapshots = openSnapshots({ directory: shelf });
});
afterAll(async () => {
  await snapshots.close();
  rmSync(shelf, { recursive: true });
});
beforeEach(() => {
  place = mkdtempSync(join(tmpdir(), 'capybara-apply-'));
  mine = join(place, 'mine');
  mkdirSync(mine);
});
afterEach(() => rmSync(place, { recursive: true }));

const file = (content: string, executable = false) =>
  ({ type: 'file', content, ...(executable && { executable: true }) }) as const;
const LINES = 'one\ntwo\nthree\nfour\nfive\n';

/** What a session changed from `before` to `after`, over the wire as the API sends it. */
async function changesOf(before: Tree, after: Tree): Promise<FileChange[]> {
  const store = snapshots.of('apply');
  const root = join(place, 'theirs');
  const take = async (tree: Tree) => {
    emptyDirectory(root);
    writeTree(root, tree);
    return (await store.take(filesAt(root))).id;
  };
  const found = await store.versions(await take(before), await take(after), 'main');
  rmSync(root, { recursive: true });
  return readChanges(streamOf(found ?? []));
}

async function apply(before: Tree, after: Tree): Promise<Applied> {
  return applyChanges(await changesOf(before, after), mine);
}

describe('applying what a session changed', () => {
  test('leaves the directory as the session left its own, byte for byte', async () => {
    const before: Tree = {
      'plain.txt': file('a\r\nb\r\n'),
      'gone/deep/file': file('x'),
      'run.sh': file('#!/bin/sh\n'),
      link: { type: 'link', to: 'plain.txt' },
      'turns-dir': file('was a file'),
      'turns-file/inner': file('was in a directory'),
      'moved.txt': file(LINES),
      'empty-goes': { type: 'directory' },
    };
    const after: Tree = {
      'plain.txt': file('a\r\nc\r\n'),
      'run.sh': file('#!/bin/sh\n', true),
      link: { type: 'link', to: '/elsewhere' },
      'turns-dir/inner': file('now in one'),
      'turns-file': file('now a file'),
      'else where/moved.txt': file(LINES),
      'bin\xff\n"\\': file('\0\xff\x01'),
      'empty-comes': { type: 'directory' },
      '.gitignore': file('ignored\n'),
    };
    writeTree(mine, before);
    await apply(before, after);
    const expected = join(place, 'expected');
    writeTree(expected, after);
    expect(readTree(mine)).toEqual(readTree(expected));
    expect(await apply(before, after)).toMatchObject({ changed: 0, merged: [] });
    expect(readTree(mine)).toEqual(readTree(expected));
  });

  test('merges, line by line, what both changed in different places, and writes over nothing', async () => {
    writeTree(mine, { a: file(LINES.replace('one', 'mine')), untouched: file('mine') });
    const applied = await apply(
      { a: file(LINES) },
      { a: file(LINES.replace('five', 'theirs')), b: file('new') },
    );
    expect(applied).toEqual({ changed: 2, already: 0, merged: ['a'] });
    expect(readFileSync(join(mine, 'a'), 'utf8')).toBe('mine\ntwo\nthree\nfour\ntheirs\n');
    expect(readFileSync(join(mine, 'untouched'), 'utf8')).toBe('mine');
    // As often as it is done.
    expect(
      await apply({ a: file(LINES) }, { a: file(LINES.replace('five', 'theirs')), b: file('new') }),
    ).toEqual({
      ...{ changed: 0, already: 2, merged: [] },
    });
  });

  test.each<[string, Tree, Tree, Tree, string]>([
    [
      'both changed in one place',
      { a: file('1\n') },
      { a: file('2\n') },
      { a: file('3\n') },
      'it was changed here too, in the same place',
    ],
    [
      'both changed, and is no text',
      { a: file('\x001') },
      { a: file('\x002') },
      { a: file('\x003') },
      'it was changed here too, and is no text',
    ],
    [
      'was removed here',
      { a: file('1\n') },
      { a: file('2\n') },
      {},
      'it was removed here, and the session changed it',
    ],
    [
      'was changed here and removed there',
      { a: file('1\n') },
      {},
      { a: file('3\n') },
      'it was changed here, and the session removed it',
    ],
    [
      'has come to be here',
      {},
      { a: file('2\n') },
      { a: file('3\n') },
      'something else is here under this name',
    ],
    [
      'is a link here',
      { a: file('1\n') },
      { a: file('2\n') },
      { a: { type: 'link', to: 'x' } },
      'it was changed here too',
    ],
    [
      'is a link that both changed',
      { a: { type: 'link', to: '1' } },
      { a: { type: 'link', to: '2' } },
      { a: { type: 'link', to: '3' } },
      'it was changed here too',
    ],
    [
      'was removed here and moved there',
      { x: file(LINES) },
      { a: file(LINES) },
      {},
      'it was removed here, and the session moved it',
    ],
    [
      'lies below what is a file here',
      {},
      { 'a/b': file('2\n') },
      { a: file('mine') },
      'a part of its path is no directory here',
    ],
  ])('refuses all where one file %s, and says why', async (_, before, after, here, reason) => {
    writeTree(mine, { ...here, other: file('old') });
    const was = readTree(mine);
    const applying = apply({ ...before, other: file('old') }, { ...after, other: file('new') });
    await expect(applying).rejects.toMatchObject({ code: 'apply_refused', exitCode: 1 });
    await expect(applying).rejects.toThrow(`: ${reason}`);
    expect(readTree(mine)).toEqual(was);
  });

  test('makes an ignored file anew where there is none, and changes the one that is there', async () => {
    const root = join(place, 'theirs');
    const store = snapshots.of('apply');
    const take = async (tree: Tree, options: TakeOptions = {}) => {
      writeTree(root, tree);
      return (await store.take(filesAt(root), options)).id;
    };
    const begun = await take({ '.gitignore': file('.env\n'), '.env': file('1\n'), a: file('a') });
    const found = [{ root: 'main', path: '.env' }];
    const named = await take({}, { previous: begun, found });
    const head = await take({ '.env': file('2\n'), a: file('b') }, { previous: named });
    const changes = readChanges(streamOf((await store.versions(begun, head, 'main')) ?? []));
    const afterApplying = async (tree: Tree) => {
      emptyDirectory(mine);
      writeTree(mine, { a: file('a'), ...tree });
      await applyChanges(changes, mine);
      return readFileSync(join(mine, '.env'), 'utf8');
    };
    expect(await afterApplying({})).toBe('2\n');
    expect(await afterApplying({ '.env': file('1\n') })).toBe('2\n');
    await expect(afterApplying({ '.env': file('my own\n') })).rejects.toThrow(
      '.env: it was changed here too',
    );
    expect(readFileSync(join(mine, '.env'), 'utf8')).toBe('my own\n');
    emptyDirectory(mine);
    await expect(applyChanges(changes, mine)).rejects.toThrow('  a: it was removed here');
  });

  test('follows a file that moved there and was changed here', async () => {
    writeTree(mine, { a: file(LINES.replace('one', 'mine')) });
    const applied = await apply({ a: file(LINES) }, { 'b/c': file(LINES.replace('five', 'theirs')) });
    expect(applied).toEqual({ changed: 1, already: 0, merged: ['b/c'] });
    expect(readTree(mine)).toMatchObject({ 'b/c': { content: 'mine\ntwo\nthree\nfour\ntheirs\n' } });
    expect(existsSync(join(mine, 'a'))).toBe(false);
  });

  test('goes on where it was broken off: half of a move is finished', async () => {
    const [before, after] = [{ a: file(LINES) }, { b: file(LINES.replace('five', 'theirs')) }];
    writeTree(mine, { a: file(LINES.replace('one', 'mine')), b: file('mine\ntwo\nthree\nfour\ntheirs\n') });
    await apply(before, after);
    expect(Object.keys(readTree(mine))).toEqual(['b']);
  });

  test('whoever is killed in the middle leaves whole files, and the next one clears up and does the rest', async () => {
    const before: Tree = { a: file('1\n'), b: file(LINES) };
    const after: Tree = { a: file('2\n'), b: file(LINES.replace('five', 'theirs')), c: file('new') };
    writeTree(mine, { a: file('2\n'), b: file(LINES.replace('one', 'mine')) });
    const dead = execFileSync('sh', ['-c', 'echo $$'], { encoding: 'utf8' }).trim();
    mkdirSync(join(mine, `.capybara-apply-${dead}`));
    await apply(before, after);
    expect(readTree(mine)).toEqual({
      ...{ a: file('2\n'), b: file('mine\ntwo\nthree\nfour\ntheirs\n'), c: file('new') },
    });
  });

  test.each(['has something to do', 'has nothing to do'])(
    'clears up after one that was killed under the same process id, as in a container, where it %s',
    async (what) => {
      const after: Tree = { a: file('2\n') };
      writeTree(mine, what === 'has nothing to do' ? after : { a: file('1\n') });
      mkdirSync(join(mine, `.capybara-apply-${process.pid}`));
      await apply({ a: file('1\n') }, after);
      expect(readTree(mine)).toEqual(after);
    },
  );

  test('keeps the mode of a file, but for what the session changed of it', async () => {
    writeTree(mine, { a: file('1\n'), b: file('1\n'), c: file('1\n', true) });
    chmodSync(join(mine, 'a'), 0o640);
    chmodSync(join(mine, 'b'), 0o640);
    await apply(
      { a: file('1\n'), b: file('1\n'), c: file('1\n') },
      { a: file('2\n'), b: file('2\n', true), c: file('2\n') },
    );
    expect(['a', 'b', 'c'].map((name) => (statSync(join(mine, name)).mode & 0o777).toString(8))).toEqual([
      ...['640', '750', '755'],
    ]);
  });

  test('is what the bytes say, whatever a repository around says of line ends, filters and merging', async () => {
    execFileSync('git', ['init', '-q', mine]);
    execFileSync('git', ['config', 'merge.x.driver', 'touch pwned; exit 0'], { cwd: mine });
    execFileSync('git', ['config', 'filter.x.smudge', 'sed s/three/four/'], { cwd: mine });
    writeTree(mine, {
      '.gitattributes': file('* text eol=crlf filter=x merge=x\n'),
      a: file(LINES.replace('one', 'mine')),
    });
    await apply({ a: file(LINES) }, { a: file(LINES.replace('five', 'theirs')), b: file('three\n') });
    expect(readFileSync(join(mine, 'a'), 'utf8')).toBe('mine\ntwo\nthree\nfour\ntheirs\n');
    expect(readFileSync(join(mine, 'b'), 'utf8')).toBe('three\n');
    expect(existsSync(join(mine, 'pwned'))).toBe(false);
  });

  test('follows no link out of the directory', async () => {
    const outside = join(place, 'outside');
    mkdirSync(outside);
    symlinkSync(outside, join(mine, 'd'));
    await expect(apply({}, { 'd/x': file('evil') })).rejects.toMatchObject({ code: 'apply_refused' });
    expect(existsSync(join(outside, 'x'))).toBe(false);
    expect(readlinkSync(join(mine, 'd'))).toBe(outside);
  });

  test('notices what is changed while it goes on, and puts back what it wrote', async () => {
    writeTree(mine, { a: file('1\n'), b: file('1\n') });
    const changes = await changesOf(
      { a: file('1\n'), b: file('1\n') },
      { a: file('2\n'), b: file('2\n'), 'n/c': file('3') },
    );
    const { steps } = await planApply(changes, mine);
    writeFileSync(join(mine, 'b'), 'mine\n');
    expect(await perform(steps, mine)).toEqual({ outcome: 'changed', path: 'b', lost: [] });
    expect(readTree(mine)).toEqual({ a: file('1\n'), b: file('mine\n') });
  });

  test('leaves all as it was where a file cannot be written', async () => {
    const before: Tree = { a: file('1\n'), d: file('file'), 'e/x': file('x'), f: { type: 'directory' } };
    writeTree(mine, before);
    const was = readTree(mine);
    const long = 'n'.repeat(255);
    const changes = await changesOf(before, { a: file('2\n'), 'd/x': file('x'), e: file('file') });
    const added: FileChange = {
      path: `${long}${long}`,
      after: { kind: 'file', isExecutable: false, content: Buffer.from('x') },
    };
    const applying = applyChanges([...changes, added], mine);
    await expect(applying).rejects.toThrow('ENAMETOOLONG');
    expect(readTree(mine)).toEqual(was);
    expect(await applyChanges(changes, mine)).toMatchObject({ changed: 4 });
  });

  test('what cannot be put back stays as it was written, whole', async () => {
    writeTree(mine, { a: file('1\n') });
    const kept = await keepFiles(mine, [Buffer.from('a')]);
    writeTree(mine, { a: file('2\n') });
    // No name that is longer fits beside it.
    const long = 'n'.repeat(255);
    writeFileSync(join(mine, long), 'old');
    const keptLong = await keepFiles(mine, [Buffer.from(long)]);
    writeFileSync(join(mine, long), 'new');
    expect(await kept.putBack(async () => {})).toEqual([]);
    expect(await keptLong.putBack(async () => {})).toEqual([long]);
    expect(readTree(mine)).toEqual({ a: file('1\n'), [long]: file('new') });
  });

  test('has nothing to do where the session worked, nor where nothing is', () => {
    const local = { kind: 'local' as const, path: mine };
    expect(() => checkDirectory({ workspace: { kind: 'empty', path: null }, directory: mine })).not.toThrow();
    expect(() => checkDirectory({ workspace: local, directory: mine })).toThrow(
      'its changes are there already',
    );
    expect(() => checkDirectory({ workspace: local, directory: join(mine, 'no') })).toThrow(
      'There is no directory',
    );
  });
});

describe('a stream of changes', () => {
  const stream = (path: string) => streamOf([{ path, after: { mode: '100644', content: Buffer.from('x') } }]);

  test.each([
    '../out',
    '/tmp/out',
    'a/../b',
    './a',
    '.git/hooks/x',
    'a/.GIT/x',
    '.hg/hgrc',
    '',
    'a//b',
    'a\0b',
    'Ā',
  ])('that names %j is refused whole', (path) => {
    expect(() => readChanges(stream(path))).toThrow(/cannot be used \(it names/);
  });

  test('that was cut anywhere is refused', () => {
    const whole = stream('a');
    expect(readChanges(whole)).toHaveLength(1);
    for (let end = 0; end < whole.length; end += 1)
      expect(() => readChanges(whole.subarray(0, end)), String(end)).toThrow('cannot be used');
    expect(() => readChanges(Buffer.concat([whole, Buffer.from('x')]))).toThrow('cannot be used');
  });
});
