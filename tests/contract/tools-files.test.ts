import { execFileSync } from 'node:child_process';
import { chmod, mkdir, readdir, stat, symlink, truncate } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { MODEL_MAX_CHARS, MODEL_MAX_LINES, truncateForModel } from '../../src/core/truncate.ts';
import { MAX_LISTED } from '../../src/tools/list-dir.ts';
import { MAX_FILE_BYTES } from '../../src/workspace/text-file.ts';
import { useProject } from './tools-harness.ts';

const project = useProject();
const { put, call, text, bytes, path } = project;
const isRoot = process.getuid?.() === 0;

async function refusal(name: string, args: Record<string, unknown>): Promise<string> {
  const outcome = await call(name, args);
  expect(outcome).toMatchObject({ isError: true });
  return outcome.text;
}

describe('read_file', () => {
  const read = async (args: Record<string, unknown>) =>
    (await call('read_file', { path: 'f', ...args })).text;

  it('numbers the lines of a file', async () => {
    await put('f', 'one\n\n  three\n');
    expect(await read({})).toBe('1\tone\n2\t\n3\t  three');
    expect(await read({ path: path('f') })).toBe('1\tone\n2\t\n3\t  three');
  });

  it('gives a range, and says which', async () => {
    await put('f', 'a\nb\nc\nd\n');
    expect(await read({ offset: 2, limit: 2 })).toBe('2\tb\n3\tc\n(lines 2 to 3 of 4)');
    expect(await read({ offset: 4, limit: 9 })).toBe('4\td\n(lines 4 to 4 of 4)');
    expect(await read({ limit: 4 })).toBe('1\ta\n2\tb\n3\tc\n4\td');
    expect(await refusal('read_file', { path: 'f', offset: 5 })).toBe(
      "Error: OutOfRange: 'f' has 4 lines, no line 5.",
    );
    expect(await refusal('read_file', { path: 'f', offset: 0 })).toContain('offset: Too small');
  });

  it('says what numbered lines do not show', async () => {
    await put('f', '');
    expect(await read({})).toBe('(f is an empty file)');
    await put('f', '\n');
    expect(await read({})).toBe('1\t');
    await put('f', 'a\r\nb');
    expect(await read({})).toBe('1\ta\n2\tb\n(CRLF line endings; no newline at the end of the file)');
    await put('f', '\ufeffa\r\nb\n');
    expect(await read({})).toBe(
      '1\ta\n2\tb\n(mixed line endings, CRLF and LF; starts with a byte order mark)',
    );
  });

  it('refuses what is no text', async () => {
    await put('nul', 'a\0b');
    await put('latin', Buffer.from([0x63, 0x61, 0x66, 0xe9]));
    expect(await refusal('read_file', { path: 'nul' })).toContain(
      "Error: FileError: 'nul' is not a text file that can be read or edited: it contains NUL bytes (3 bytes)",
    );
    expect(await refusal('read_file', { path: 'latin' })).toContain('it is not valid UTF-8 (4 bytes)');
    execFileSync('mkfifo', [path('pipe')]);
    expect(await refusal('read_file', { path: 'pipe' })).toContain("'pipe' is not a regular file");
    await mkdir(path('dir'));
    expect(await refusal('read_file', { path: 'dir' })).toContain('is a directory; use list_dir');
    expect(await refusal('read_file', { path: 'gone' })).toContain("'gone' does not exist");
    expect(await refusal('read_file', { path: 'nul/below' })).toContain('a part of its path is a file');
  });

  it('refuses a file over the limit, and reads one at it', async () => {
    await put('f', `${'x'.repeat(MAX_FILE_BYTES - 1)}\n`);
    expect(await read({})).toMatch(/^1\tx/);
    await truncate(path('f'), MAX_FILE_BYTES + 1);
    expect(await refusal('read_file', { path: 'f' })).toContain(
      `more than the ${MAX_FILE_BYTES} that can be read`,
    );
  });

  it('gives the whole of what is a few times as long as a model is shown', async () => {
    await put('lines', '\n'.repeat(4 * MODEL_MAX_LINES));
    expect((await read({ path: 'lines' })).split('\n')).toHaveLength(4 * MODEL_MAX_LINES);
    await put('line', 'x'.repeat(4 * MODEL_MAX_CHARS - 3));
    expect(await read({ path: 'line' })).toContain(`1\t${'x'.repeat(4 * MODEL_MAX_CHARS - 3)}\n(no newline`);
  });

  it.each([
    ['of empty lines', '\n'.repeat(MAX_FILE_BYTES), MAX_FILE_BYTES],
    ['of long lines', `${'x'.repeat(99)}\r\n`.repeat(100_000), 100_000],
  ])('gives of a file %s what a model is shown uncut, and how to go on', async (_, content, total) => {
    await put('f', content);
    const next = async (offset: number) => {
      const text = await read({ offset });
      expect(truncateForModel(text).cut).toBe(false);
      const [, end = '', on] = /\(lines \d+ to (\d+) of \d+; go on with offset (\d+)/.exec(text) ?? [];
      expect(text.startsWith(`${offset}\t`)).toBe(true);
      expect(text).toContain(`\n${end}\t`);
      expect(text).toContain(`of ${total};`);
      expect(Number(on)).toBe(Number(end) + 1);
      return Number(on);
    };
    const second = await next(1);
    expect(second).toBeGreaterThan(200);
    await next(await next(second));
    expect(await read({ offset: total - 1 })).toMatch(
      new RegExp(`^${total - 1}\tx*\n${total}\tx*\n\\(lines`),
    );
    expect(await refusal('read_file', { path: 'f', offset: total + 1 })).toContain(`has ${total} lines`);
  });

  it('gives the start of a line that is longer than that', async () => {
    await put('f', `a\n${'🙂'.repeat(100_000)}\nb\n`);
    const [first, note] = (await read({})).split('\n');
    expect([first, note]).toEqual(['1\ta', '(lines 1 to 1 of 3; go on with offset 2)']);
    const long = await read({ offset: 2 });
    expect(truncateForModel(long)).toEqual({ text: long, cut: false });
    expect(long.isWellFormed()).toBe(true);
    expect(long).toMatch(
      /🙂\n\(lines 2 to 2 of 3; the first 29500 of 200000 characters of line 2: look into it with grep or bash; line 3 begins at offset 3\)$/u,
    );
    expect(await read({ offset: 3 })).toBe('3\tb\n(lines 3 to 3 of 3)');
  });

  it('reads only what its user may read', async () => {
    await put('f', 'x');
    await chmod(path('f'), 0);
    expect(await read({})).toContain(isRoot ? '1\tx' : "'f' cannot be read: permission denied");
  });
});

describe('every file tool', () => {
  it('refuses paths outside the workspace', async () => {
    await symlink('/etc', path('link'));
    const calls: [string, Record<string, unknown>][] = [
      ['read_file', {}],
      ['write_file', { content: '' }],
      ['edit_file', { old_string: 'a', new_string: 'b' }],
      ['list_dir', {}],
      ['glob', { pattern: '*' }],
      ['grep', { pattern: 'x' }],
    ];
    for (const [name, args] of calls) {
      for (const outside of ['../x', '/etc/passwd', 'link/passwd', 'link']) {
        const result = await refusal(name, { ...args, path: outside });
        expect(result).toContain(`Error: WorkspacePathError: '${outside}' is outside the workspace`);
      }
    }
  });
});

describe('write_file', () => {
  it('creates a file with its directories, and overwrites it', async () => {
    expect(await call('write_file', { path: 'a/b/f', content: 'é\n' })).toEqual({
      text: 'Created a/b/f (3 bytes).',
    });
    expect(await text('a/b/f')).toBe('é\n');
    expect(await call('write_file', { path: 'a/b/f', content: '' })).toEqual({
      text: 'Overwrote a/b/f (0 bytes).',
    });
    expect(await text('a/b/f')).toBe('');
    expect(await readdir(path('a/b'))).toEqual(['f']);
  });

  it('keeps the mode of a file, and writes through a link inside the workspace', async () => {
    await put('run.sh', 'old');
    await chmod(path('run.sh'), 0o755);
    await symlink('run.sh', path('link'));
    await call('write_file', { path: 'link', content: 'new' });
    expect(await text('run.sh')).toBe('new');
    expect((await stat(path('run.sh'))).mode & 0o7777).toBe(0o755);
    expect(
      (await readdir(path('.'), { withFileTypes: true })).map((e) => [e.name, e.isSymbolicLink()]),
    ).toEqual([
      ['link', true],
      ['run.sh', false],
    ]);
  });

  it('replaces a file in one step: who has it open keeps the old text', async () => {
    await put('f', 'old');
    const before = (await stat(path('f'))).ino;
    await call('write_file', { path: 'f', content: 'new' });
    expect((await stat(path('f'))).ino).not.toBe(before);
  });

  it('refuses what it cannot write, and leaves nothing behind', async () => {
    await mkdir(path('dir'));
    await put('file', 'x');
    execFileSync('mkfifo', [path('pipe')]);
    expect(await refusal('write_file', { path: 'dir', content: '' })).toContain('is a directory');
    expect(await refusal('write_file', { path: 'pipe', content: '' })).toContain('is not a regular file');
    expect(await refusal('write_file', { path: 'file/below', content: '' })).toContain(
      'a part of its path is a file',
    );
    expect(await refusal('write_file', { path: 'n', content: 'a\ud800' })).toContain('half a surrogate pair');
    expect(await refusal('write_file', { path: 'x'.repeat(300), content: '' })).toContain('name too long');
    expect((await readdir(path('.'))).sort()).toEqual(['dir', 'file', 'pipe']);
  });

  it('refuses a text over the limit, and writes one at it', async () => {
    expect(await refusal('write_file', { path: 'f', content: 'x'.repeat(MAX_FILE_BYTES + 1) })).toContain(
      `has ${MAX_FILE_BYTES + 1} bytes, more than the ${MAX_FILE_BYTES} that are allowed`,
    );
    expect(
      (await call('write_file', { path: 'f', content: 'x'.repeat(MAX_FILE_BYTES) })).isError,
    ).toBeUndefined();
  });

  it('replaces a read-only file only for root', async () => {
    await put('f', 'x');
    await chmod(path('f'), 0o444);
    const outcome = await call('write_file', { path: 'f', content: '' });
    expect(outcome.text).toContain(isRoot ? 'Overwrote f' : "'f' cannot be written: permission denied");
  });
});

describe('edit_file', () => {
  const edit = (old_string: string, new_string: string, more = {}) =>
    call('edit_file', { path: 'f', old_string, new_string, ...more });

  it('replaces the one occurrence, and says where', async () => {
    await put('f', 'a\nb\nc\n');
    expect(await edit('b\n', 'B\nBB\n')).toEqual({ text: 'Edited f: 1 replacement, at line 2.' });
    expect(await text('f')).toBe('a\nB\nBB\nc\n');
    await edit('a\n', '');
    expect(await text('f')).toBe('B\nBB\nc\n');
  });

  it('takes no more than a moment for any text', async () => {
    await put('f', 'a'.repeat(MAX_FILE_BYTES));
    // By the processor's time: how much of it a busy machine gives is another matter.
    const began = process.cpuUsage();
    const half = 'a'.repeat(5_000);
    expect((await edit(`${half}b${half}`, 'x')).text).toContain('is not in');
    expect((await edit(half, 'x')).text).toContain(`occurs ${MAX_FILE_BYTES - 4_999} times`);
    await put('f', 'a\n'.repeat(MAX_FILE_BYTES / 2));
    expect((await edit(`${'a\n'.repeat(5_000)}b`, 'x')).text).toContain('is not in');
    const { user, system } = process.cpuUsage(began);
    expect((user + system) / 1000).toBeLessThan(15_000);
  });

  it('takes `$` patterns as they are written', async () => {
    await put('f', 'price: X $1\n');
    await edit('X $1', "$& $1 $$ $` $'");
    expect(await text('f')).toBe("price: $& $1 $$ $` $'\n");
    await edit('$', '$$', { replace_all: true });
    expect(await text('f')).toBe("price: $$& $$1 $$$$ $$` $$'\n");
  });

  it('replaces all when asked to', async () => {
    await put('f', 'x x\nx\n');
    expect(await edit('x', 'xx', { replace_all: true })).toEqual({
      text: 'Edited f: 3 replacements, at lines 1, 1, 2.',
    });
    expect(await text('f')).toBe('xx xx\nxx\n');
  });

  it('refuses an ambiguous text, and says how many and where', async () => {
    await put('f', 'x\ny\nx\n');
    expect((await edit('x', 'z')).text).toBe(
      "Error: EditError: old_string occurs 2 times in 'f', at lines 1, 3, expected once; add text around it until it is unique, or set replace_all.",
    );
    await put('f', 'aaa');
    expect((await edit('aa', 'b')).text).toContain('occurs 2 times');
    await put('f', 'x\n'.repeat(12));
    expect((await edit('x', 'z')).text).toContain(
      "occurs 12 times in 'f', at lines 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 2 more",
    );
  });

  it('helps where the text is not there', async () => {
    await put('f', 'one\n\tif (a) {\n\t\tb\n');
    expect((await edit('if (a) {\n  b', 'z')).text).toContain(
      'differs only in white space or typographic characters begins at line 2',
    );
    expect((await edit('2\tif (a)', 'z')).text).toContain('it begins with a line number');
    expect((await edit('nothing', 'z')).text).toContain('read the file again');
    expect((await edit('', 'z')).text).toContain('old_string is empty');
    expect((await edit('one', 'one')).text).toContain('nothing to change');
    expect(await text('f')).toBe('one\n\tif (a) {\n\t\tb\n');
  });

  it('keeps CRLF and the byte order mark, though the model writes neither', async () => {
    await put('f', '\ufeffa\r\nb\r\nc\r\n');
    await edit('a\nb', 'A\nB\nBB');
    expect(await text('f')).toBe('\ufeffA\r\nB\r\nBB\r\nc\r\n');
    await edit('c', 'c\nd');
    expect(await text('f')).toBe('\ufeffA\r\nB\r\nBB\r\nc\r\nd\r\n');
    await edit('B\r\nBB\r\n', '');
    expect(await text('f')).toBe('\ufeffA\r\nc\r\nd\r\n');
  });

  it('changes no other byte where line endings are mixed', async () => {
    await put('f', 'a\r\nb\nc\r\nd');
    await edit('b', 'x\ny');
    expect(await text('f')).toBe('a\r\nx\ny\nc\r\nd');
    await edit('c\nd', 'e\nf');
    expect(await text('f')).toBe('a\r\nx\ny\ne\r\nf');
  });

  it('refuses to touch what is not UTF-8', async () => {
    const latin = Buffer.from([0x61, 0xe9]);
    await put('f', latin);
    expect((await edit('a', 'b')).text).toContain('it is not valid UTF-8');
    expect(await bytes('f')).toEqual(latin);
  });
});

describe('list_dir', () => {
  it('lists everything, with what it is', async () => {
    await put('b.txt', '12345');
    await put('.hidden');
    await put('dir/x');
    await put('new\nline');
    await symlink('b.txt', path('link'));
    execFileSync('mkfifo', [path('pipe')]);
    expect((await call('list_dir', {})).text.split('\n')).toEqual([
      '.hidden (0)',
      'b.txt (5)',
      'dir/',
      'link -> b.txt',
      'new\\nline (0)',
      'pipe (a pipe, socket or device)',
    ]);
    expect((await call('list_dir', { path: 'dir' })).text).toBe('x (0)');
  });

  it('says what is wrong with a directory', async () => {
    await put('file');
    await mkdir(path('empty'));
    expect((await call('list_dir', { path: 'empty' })).text).toBe('(empty is an empty directory)');
    expect(await refusal('list_dir', { path: 'file' })).toContain('is not a directory; use read_file');
    expect(await refusal('list_dir', { path: 'gone' })).toContain("'gone' does not exist");
  });

  it('lists as many entries as the limit, and says how many more there are', async () => {
    await Promise.all(Array.from({ length: MAX_LISTED }, (_, i) => put(`f${i}`)));
    expect((await call('list_dir', {})).text.split('\n')).toHaveLength(MAX_LISTED);
    await put('one-more');
    const lines = (await call('list_dir', {})).text.split('\n');
    expect(lines).toHaveLength(MAX_LISTED + 1);
    expect(lines.at(-1)).toBe('(1 more entries)');
  });
});
