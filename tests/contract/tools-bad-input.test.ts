/** What no file tool may stumble over: each gets a clear result, soon, and nothing outside the workspace is touched. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { mkdir, readdir, symlink, truncate, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { MAX_SEARCHED_MIB } from '../../src/tools/grep.ts';
import { useProject } from './tools-harness.ts';

const project = useProject();
const { put, call, path, text } = project;

/** Nothing here may take longer, however large or endless what is looked at. */
const SOON_MS = 5_000;

/** Every tool that is told a file, with arguments that do something to it. */
const fileTools: [string, (path: string) => Record<string, unknown>][] = [
  ['read_file', (path) => ({ path })],
  ['write_file', (path) => ({ path, content: 'new\n' })],
  ['edit_file', (path) => ({ path, old_string: 'a', new_string: 'b' })],
  ['search_replace', (path) => ({ blocks: `${path}\n<<<<<<< SEARCH\na\n=======\nb\n>>>>>>> REPLACE` })],
  ['apply_patch', (path) => ({ input: `*** Begin Patch\n*** Update File: ${path}\n-a\n+b\n*** End Patch` })],
  ['apply_patch', (path) => ({ input: `*** Begin Patch\n*** Delete File: ${path}\n*** End Patch` })],
  ['apply_patch', (path) => ({ input: `*** Begin Patch\n*** Add File: ${path}\n+a\n*** End Patch` })],
  ['list_dir', (path) => ({ path })],
  ['glob', (path) => ({ path, pattern: '*' })],
  ['grep', (path) => ({ path, pattern: 'a' })],
];
const [reading, writing] = [fileTools.slice(0, 1), fileTools.slice(1, 7)];

async function said(
  tool: (typeof fileTools)[number],
  name: string,
): Promise<{ text: string; isError: boolean }> {
  const [toolName, args] = tool;
  const began = performance.now();
  const outcome = await call(toolName, args(name));
  expect(performance.now() - began, `${toolName} of ${name}`).toBeLessThan(SOON_MS);
  return { text: outcome.text, isError: outcome.isError ?? false };
}

describe('a path out of the workspace', () => {
  const outside = [
    ...[
      '..',
      '../outside/f',
      'dir/../../outside/f',
      '/etc/passwd',
      '/',
      '/proc/self/environ',
      '/proc/1/root/etc/passwd',
    ],
    ...['/dev/zero', '/dev/stdin', 'link/f', 'loop', 'dangling', 'chain', 'proc/self/mem'],
  ];

  beforeEach(async () => {
    await mkdir(path('dir'));
    mkdirSync(join(project.base(), 'outside'));
    writeFileSync(join(project.base(), 'outside', 'f'), 'a\n');
    await symlink(join(project.base(), 'outside'), path('link'));
    await symlink('loop', path('loop'));
    await symlink('/nowhere/at/all', path('dangling'));
    await symlink('link/f', path('chain'));
    await symlink('/proc', path('proc'));
  });

  it.each(outside)('%s: is refused by every tool', async (name) => {
    for (const tool of fileTools) {
      expect(await said(tool, name)).toEqual({
        isError: true,
        text: expect.stringMatching(
          name === 'loop'
            ? /^Error: WorkspacePathError: 'loop' is a loop of symbolic links/
            : /^Error: WorkspacePathError: '.+' (is outside the workspace|cannot be looked up)/,
        ),
      });
    }
    expect(await readdir(join(project.base(), 'outside'))).toEqual(['f']);
    expect(existsSync('/nowhere')).toBe(false);
  });
});

describe('what is no regular file', () => {
  it('a pipe: nobody waits for it', async () => {
    execFileSync('mkfifo', [path('pipe')]);
    for (const tool of [...reading, ...writing]) {
      expect(await said(tool, 'pipe')).toEqual({
        isError: true,
        text: expect.stringContaining("'pipe' is not a regular file (a pipe, socket or device)"),
      });
    }
    expect((await call('list_dir', { path: '.' })).text).toBe('pipe (a pipe, socket or device)');
    expect((await call('list_dir', { path: 'pipe' })).text).toContain("'pipe' is not a directory");
    for (const name of ['glob', 'grep']) {
      expect((await call(name, { path: 'pipe', pattern: 'a' })).text).toContain(
        'neither a directory nor a regular',
      );
      expect((await call(name, { path: '.', pattern: 'a' })).text).toMatch(/^\(no /);
    }
  });

  it('a socket', async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(path('sock'), resolve));
    for (const tool of [...reading, ...writing]) {
      expect(await said(tool, 'sock')).toMatchObject({
        isError: true,
        text: expect.stringContaining("'sock' "),
      });
    }
    expect((await call('list_dir', {})).text).toBe('sock (a pipe, socket or device)');
    await new Promise((resolve) => server.close(resolve));
  });

  it('a directory', async () => {
    await put('dir/a', 'a\n');
    for (const tool of [...reading, ...writing]) {
      expect(await said(tool, 'dir')).toMatchObject({
        isError: true,
        text: expect.stringContaining("'dir' "),
      });
    }
    expect(await text('dir/a')).toBe('a\n');
  });
});

describe('a file of 10 GB', () => {
  it('is looked at, but not read', async () => {
    await put('big', 'a\n');
    await truncate(path('big'), 10 * 1024 ** 3);
    for (const tool of [...reading, ...writing.slice(1, 4)]) {
      expect(await said(tool, 'big')).toEqual({
        isError: true,
        text: expect.stringMatching(/'big' has 10737418240 bytes, more than the \d+ that can be read/),
      });
    }
    expect((await call('list_dir', {})).text).toBe('big (10737418240)');
    expect((await call('glob', { pattern: '*' })).text).toBe('big');
    expect(await said(['grep', () => ({ pattern: 'a' })], 'big')).toEqual({
      isError: false,
      text: '(no match)',
    });
    expect(await said(['write_file', (name) => ({ path: name, content: '' })], 'big')).toEqual({
      isError: false,
      text: 'Overwrote big (0 bytes).',
    });
  });

  it('is searched in a directory up to a limit', async () => {
    await put('long', 'foo\n');
    await truncate(path('long'), MAX_SEARCHED_MIB * 1024 ** 2 + 1);
    expect((await call('grep', { pattern: 'foo' })).text).toBe('(no match)');
    expect((await call('grep', { pattern: 'foo', path: 'long' })).text).toBe(
      'long: a binary file that matches',
    );
    await truncate(path('long'), 4);
    expect((await call('grep', { pattern: 'foo' })).text).toBe('long:1:foo');
  });
});

describe('a name that is no plain word', () => {
  const names = [
    'two\nlines',
    'tab\there',
    ' space ',
    '-dash',
    '*',
    'a:1:b',
    'é',
    'ende\u0301',
    '\u202egpj.exe',
    "quo'te",
  ];

  it.each(names)('%j: is written, read, edited, listed and found', async (name) => {
    expect(await said(['write_file', (path) => ({ path, content: 'a\n' })], name)).toMatchObject({
      isError: false,
    });
    expect(await said(['read_file', (path) => ({ path })], name)).toEqual({ isError: false, text: '1\ta' });
    const edit = (path: string) => ({ path, old_string: 'a', new_string: 'needle' });
    expect(await said(['edit_file', edit], name)).toMatchObject({ isError: false });
    const shown = name.replace('\n', '\\n').replace('\t', '\\t');
    expect((await call('list_dir', {})).text).toBe(`${shown} (7)`);
    expect((await call('glob', { pattern: '**' })).text).toBe(shown);
    expect((await call('grep', { pattern: 'needle' })).text).toBe(`${shown}:1:needle`);
    expect((await call('grep', { pattern: 'needle', path: name })).text).toBe(`${shown}:1:needle`);
    expect((await call('grep', { pattern: 'needle', files_only: true })).text).toBe(shown);
  });

  it('shows one that is not UTF-8 with its bytes', async () => {
    await writeFile(Buffer.concat([Buffer.from(path('caf')), Buffer.from([0xe9])]), 'needle\n');
    await symlink('nowhere', Buffer.concat([Buffer.from(path('l')), Buffer.from([0xff])]));
    expect((await call('list_dir', {})).text).toBe(
      'caf\\xe9 (a name that is not UTF-8) (7)\nl\\xff (a name that is not UTF-8) -> nowhere',
    );
    expect((await call('grep', { pattern: 'needle' })).text).toBe('caf\ufffd:1:needle');
    expect((await call('glob', { pattern: '*' })).text).toBe('caf\ufffd');
  });

  it.each([
    ['', 'Too small'],
    ['a\0b', 'The path contains a NUL character'],
    ['x'.repeat(300), 'name too long'],
    ['d/'.repeat(3_000), /name too long|does not exist|cannot be/],
  ])('refuses what can be none: %j', async (name, says) => {
    for (const tool of [...reading, ...writing.slice(0, 2)]) {
      expect(await said(tool, name)).toMatchObject({ isError: true, text: expect.stringMatching(says) });
    }
  });
});

describe('contents that are no plain text', () => {
  const rows: [string, Buffer, string][] = [
    ['bytes that are not UTF-8', Buffer.from([0x61, 0xe9, 0x0a]), 'it is not valid UTF-8'],
    ['NUL bytes', Buffer.from('a\0'), 'it contains NUL bytes'],
    ['UTF-16', Buffer.from('\ufeffa\n', 'utf16le'), 'it is UTF-16 text; it contains NUL bytes'],
  ];
  it.each(rows)('%s: are neither shown nor edited', async (_, content, says) => {
    await put('f', content);
    for (const tool of [...reading, ...writing.slice(1, 4)]) {
      expect(await said(tool, 'f')).toMatchObject({ isError: true, text: expect.stringContaining(says) });
      expect(await project.bytes('f')).toEqual(content);
    }
  });

  it.each([
    ['CRLF', 'x\r\na\r\n', 'x\r\nb\r\n'],
    ['a byte order mark', '\ufeffx\na\n', '\ufeffx\nb\n'],
    ['a byte order mark right before', '\ufeffa\n', '\ufeffb\n'],
    ['no newline at the end', 'x\na', 'x\nb'],
    ['carriage returns alone', 'x\ry\na\n', 'x\ry\nb\n'],
    ['odd separators', 'x\u2028y\u0085z\f\v\na\n', 'x\u2028y\u0085z\f\v\nb\n'],
  ])('%s: are kept by every edit', async (_, before, after) => {
    for (const [name, args] of writing.slice(1, 4)) {
      await put('f', before);
      expect((await call(name, args('f'))).isError, name).toBeUndefined();
      expect(await text('f'), name).toBe(after);
    }
  });
});
