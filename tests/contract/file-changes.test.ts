import {
  chmod,
  chown,
  link,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  realpath,
  rename,
  rm,
  stat,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FileChanged, FileChanges } from '../../src/workspace/file-changes.ts';
import { createSeenFiles, MAX_SEEN_FILES, versionOf } from '../../src/workspace/seen-files.ts';
import type { Place } from '../../src/workspace/text-file.ts';

let dir = '';
beforeEach(async () => {
  dir = await realpath(await mkdtemp(join(tmpdir(), 'capybara-changes-')));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

const file = (name: string) => ({ root: dir, path: join(dir, name), shown: name });
const put = (name: string, text: string) => writeFile(join(dir, name), text);
const text = (name: string) => readFile(join(dir, name), 'utf8');
const names = async () => (await readdir(dir, { recursive: true })).sort();

/** Renames that fail from the given one on, counted from 1. */
function failingAt(number: number) {
  let calls = 0;
  return {
    rename: async (from: Place, to: Place) => {
      calls += 1;
      if (calls === number) throw Object.assign(new Error('no space left on device'), { code: 'ENOSPC' });
      await rename(from, to);
    },
  };
}

describe('FileChanges', () => {
  it.each([1, 2, 3, 4])('puts everything back where the rename number %i fails', async (number) => {
    await put('a', 'a1');
    await put('b', 'b1');
    await put('gone', 'g1');
    await chmod(join(dir, 'a'), 0o750);
    const before = await stat(join(dir, 'a'));
    const changes = new FileChanges(createSeenFiles(), failingAt(number));
    changes.write(file('a'), 'a2');
    await changes.remove(file('gone'));
    changes.write(file('new/deep/c'), 'c2');
    changes.write(file('b'), 'b2');
    changes.write(file('d'), 'd2');
    await expect(changes.commit()).rejects.toThrow('cannot be written: no space left on device');
    expect(await names()).toEqual(['a', 'b', 'gone']);
    expect([await text('a'), await text('b'), await text('gone')]).toEqual(['a1', 'b1', 'g1']);
    const { ino, mode } = await stat(join(dir, 'a'));
    expect([ino, mode]).toEqual([before.ino, before.mode]);
  });

  it('puts all in place where none fails, and leaves nothing beside', async () => {
    await put('a', 'a1');
    await put('gone', 'g1');
    const changes = new FileChanges(createSeenFiles(), failingAt(4));
    changes.write(file('a'), 'a2');
    await changes.remove(file('gone'));
    changes.write(file('new/c'), 'c2');
    changes.write(file('d'), 'd2');
    await changes.commit();
    expect(await names()).toEqual(['a', 'd', 'new', 'new/c']);
    expect([await text('a'), await text('new/c'), await text('d')]).toEqual(['a2', 'c2', 'd2']);
  });

  it('writes nothing where a file cannot be prepared, or changed after it was read', async () => {
    await put('a', 'a1');
    await put('b', 'b1');
    await mkdir(join(dir, 'dir'));
    const one = new FileChanges(createSeenFiles());
    one.write(file('a'), 'a2');
    one.write(file('new/x'), 'x');
    one.write(file('dir'), 'x');
    await expect(one.commit()).rejects.toThrow("'dir' is a directory");
    const two = new FileChanges(createSeenFiles());
    two.write(file('a'), `${await two.text(file('a'))}2`);
    two.write(file('b'), `${await two.text(file('b'))}2`);
    await put('b', 'by somebody');
    await expect(two.commit()).rejects.toThrow(FileChanged);
    const three = new FileChanges(createSeenFiles());
    expect(await three.find(file('c'))).toBeNull();
    three.write(file('c'), 'mine');
    await put('c', 'by somebody');
    await expect(three.commit()).rejects.toThrow("'c' is not what it was when you read it");
    expect(await names()).toEqual(['a', 'b', 'c', 'dir']);
    expect([await text('a'), await text('b'), await text('c')]).toEqual(['a1', 'by somebody', 'by somebody']);
  });

  it('touches no file that stays as it is', async () => {
    await put('a', 'a1');
    const before = (await stat(join(dir, 'a'))).ino;
    const changes = new FileChanges(createSeenFiles());
    changes.write(file('a'), await changes.text(file('a')));
    await changes.commit();
    expect((await stat(join(dir, 'a'))).ino).toBe(before);
  });

  it('leaves what another name of the file shows', async () => {
    await put('a', 'a1');
    await link(join(dir, 'a'), join(dir, 'twin'));
    const changes = new FileChanges(createSeenFiles());
    changes.write(file('a'), 'a2');
    await changes.commit();
    expect([await text('a'), await text('twin')]).toEqual(['a2', 'a1']);
  });
});

describe('createSeenFiles', () => {
  it('remembers as many files as its limit, and forgets the oldest first', () => {
    const seen = createSeenFiles();
    for (let number = 0; number < MAX_SEEN_FILES; number++) seen.note(`f${number}`, 'v');
    seen.note('f0', 'w');
    expect(seen.versionOf('f1')).toBe('v');
    seen.note('one more', 'v');
    expect([seen.versionOf('f0'), seen.versionOf('f1'), seen.versionOf('f2')]).toEqual(['w', undefined, 'v']);
    seen.note('f0', undefined);
    expect(seen.versionOf('f0')).toBeUndefined();
  });

  it('tells texts apart by their versions', () => {
    expect(versionOf('a')).toBe(versionOf('a'));
    expect(new Set(['a', 'a\n', '\ufeffa', ''].map(versionOf)).size).toBe(4);
  });
});

describe('version control’s own files', () => {
  it('are not written, replaced or removed: the user’s next command would run them', async () => {
    await mkdir(join(dir, '.git/hooks'), { recursive: true });
    await put('.git/config', 'old');
    for (const name of [
      '.git',
      '.git/config',
      '.git/hooks/pre-commit',
      'deep/.GIT/config',
      '.hg/hgrc',
      '.jj/x',
    ]) {
      const changes = new FileChanges(createSeenFiles());
      expect(() => changes.write(file(name), 'x')).toThrow('belongs to version control itself');
      await expect(changes.replace(file(name), 'x')).rejects.toThrow('belongs to version control itself');
      await expect(changes.remove(file(name))).rejects.toThrow('belongs to version control itself');
    }
    const changes = new FileChanges(createSeenFiles());
    for (const name of ['.gitignore', '.github/workflow.yml', 'git/config']) changes.write(file(name), 'x');
    await changes.commit();
    expect(await text('.git/config')).toBe('old');
  });
});

describe.skipIf(process.getuid?.() !== 0)('what root writes', () => {
  it('belongs to whom the directory does, and a file that was there to whom it did', async () => {
    const mine = join(dir, 'theirs');
    await mkdir(mine);
    await chown(mine, 1234, 1235);
    await put('theirs/old', 'old');
    await chown(join(mine, 'old'), 77, 78);
    const changes = new FileChanges(createSeenFiles());
    for (const name of ['theirs/new', 'theirs/deep/er/new', 'theirs/old']) changes.write(file(name), 'text');
    await changes.commit();
    const owners = await Promise.all(
      ['new', 'deep', 'deep/er', 'deep/er/new', 'old'].map(async (name) => {
        const { uid, gid } = await stat(join(mine, name));
        return `${name} ${uid}:${gid}`;
      }),
    );
    expect(owners).toEqual([
      'new 1234:1235',
      'deep 1234:1235',
      'deep/er 1234:1235',
      'deep/er/new 1234:1235',
      'old 77:78',
    ]);
  });
});
