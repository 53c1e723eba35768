import { execFileSync } from 'node:child_process';
import { mkdir, symlink } from 'node:fs/promises';
import { beforeEach, describe, expect, it } from 'vitest';
import { MAX_FOUND } from '../../src/tools/glob.ts';
import { MAX_RESULT_LINES } from '../../src/tools/grep.ts';
import { pathMatcher } from '../../src/tools/path-pattern.ts';
import { useProject } from './tools-harness.ts';

const { put, call, path } = useProject();

describe('pathMatcher', () => {
  const cases: [pattern: string, fits: string[], fitsNot: string[]][] = [
    ['*.ts', ['a.ts', 'x/y/a.ts', '.ts'], ['a.tsx', 'a.ts/b']],
    ['/*.ts', ['a.ts'], ['x/a.ts']],
    ['./*.ts', ['a.ts'], ['x/a.ts']],
    ['src/**/*.ts', ['src/a.ts', 'src/x/y/a.ts'], ['a.ts', 'lib/src/a.ts']],
    ['**/x/**', ['x/a', 'a/x/b/c'], ['a/y/b']],
    ['a/**/b/**/c', ['a/b/c', 'a/1/b/2/b/3/c'], ['a/c', 'a/b/d']],
    ['?.{js,ts}', ['a.js', 'd/b.ts'], ['ab.js', '.js']],
    ['{src,lib/{x,y}}/*', ['src/a', 'lib/x/a', 'lib/y/a'], ['lib/a', 'x/a']],
    ['[a-c]x[!0-9].[]]', ['axb.]', 'cx_.]'], ['dxb.]', 'ax1.]']],
    ['\\*\\[x\\]', ['*[x]'], ['a[x]', 'x']],
    ['a{b', ['a{b'], ['ab']],
    ['{a}', ['{a}'], ['a']],
    ['[x', ['[x'], ['x']],
    ['.github/**', ['.github/w/x.yml'], ['github/w']],
    ['?', ['é', '😀'], ['ab']],
    ['*', ['.env', 'a/b'], []],
  ];
  it.each(cases)('%s', (pattern, fits, fitsNot) => {
    const matches = pathMatcher(pattern);
    expect(fits.filter((name) => !matches(name))).toEqual([]);
    expect(fitsNot.filter((name) => matches(name))).toEqual([]);
  });

  it('takes no more than a moment for any pattern', () => {
    const start = performance.now();
    expect(pathMatcher(`${'*a'.repeat(200)}y`)('a'.repeat(250))).toBe(false);
    expect(pathMatcher(`${'**/*a*/'.repeat(50)}y`)(`${'a/'.repeat(100)}x`)).toBe(false);
    expect(performance.now() - start).toBeLessThan(10_000);
  });

  it('refuses patterns over its limits, and takes those at them', () => {
    pathMatcher('x'.repeat(1_000));
    expect(() => pathMatcher('x'.repeat(1_001))).toThrow('has 1001 characters, expected at most 1000');
    pathMatcher(`{${'a,'.repeat(99)}a}`);
    expect(() => pathMatcher(`{${'a,'.repeat(100)}a}`)).toThrow('more than 100 alternatives');
    expect(() => pathMatcher('{a,b}'.repeat(60))).toThrow('more than 100 alternatives');
  });
});

describe('glob', () => {
  const glob = async (args: Record<string, unknown>) => (await call('glob', args)).text;

  it('finds unignored files, hidden ones too, relative to the root', async () => {
    for (const name of ['src/a.ts', 'src/deep/b.ts', 'c.ts', '.ci/d.ts', 'dist/e.ts', '.git/f.ts'])
      await put(name);
    await put('.gitignore', 'dist\n');
    expect(await glob({ pattern: '*.ts' })).toBe('.ci/d.ts\nc.ts\nsrc/a.ts\nsrc/deep/b.ts');
    expect(await glob({ pattern: 'src/*.ts' })).toBe('src/a.ts');
    expect(await glob({ pattern: '*.ts', path: 'src' })).toBe('src/a.ts\nsrc/deep/b.ts');
    expect(await glob({ pattern: 'deep/*', path: 'src' })).toBe('src/deep/b.ts');
    expect(await glob({ pattern: path('src/*.ts') })).toBe('src/a.ts');
    expect(await glob({ pattern: '**' })).not.toContain('dist');
    expect(await glob({ pattern: '*', path: 'dist' })).toBe('dist/e.ts');
    expect(await glob({ pattern: '*.py' })).toBe('(no file fits *.py)');
  });

  it('respects the ignore files between the root and where it looks', async () => {
    await put('.gitignore', '*.log\n/a/gen\n');
    await put('a/.gitignore', '*.tmp\n');
    for (const name of ['a/b/x.log', 'a/b/x.tmp', 'a/b/x.txt', 'a/gen/y']) await put(name);
    expect(await glob({ pattern: '*', path: 'a/b' })).toBe('a/b/x.txt');
    expect(await glob({ pattern: '**', path: 'a' })).toBe('a/.gitignore\na/b/x.txt');
  });

  it('gives as many as its limit, and says how many more there are', async () => {
    await Promise.all(Array.from({ length: MAX_FOUND }, (_, i) => put(`f${i}`)));
    expect((await glob({ pattern: 'f*' })).split('\n')).toHaveLength(MAX_FOUND);
    await put('f-one-more');
    expect(await glob({ pattern: 'f*' })).toMatch(/\n\(1 more files: use a narrower pattern\)$/);
  });

  it('says what is wrong with its arguments', async () => {
    expect(await glob({ pattern: '*', path: 'gone' })).toBe(
      "Error: FileError: 'gone' cannot be searched: it does not exist.",
    );
    expect(await glob({ pattern: 'x'.repeat(1_001) })).toContain('Error: PatternError: the pattern has');
    expect(await glob({ pattern: '' })).toContain('pattern: Too small');
  });
});

describe('grep', () => {
  const grep = async (args: Record<string, unknown>) => (await call('grep', args)).text;

  beforeEach(async () => {
    await put('src/a.ts', 'one\ntwo foo(1)\nthree\n');
    await put('src/b.md', 'Foo\r\n');
    await put('dist/out.ts', 'foo\n');
    await put('.hidden', 'foo\n');
    await put('.gitignore', 'dist/\n');
  });

  it('gives path, line and text of each match, in order', async () => {
    expect(await grep({ pattern: 'foo' })).toBe('.hidden:1:foo\nsrc/a.ts:2:two foo(1)');
    expect(await grep({ pattern: 'foo', ignore_case: true, path: 'src' })).toBe(
      'src/a.ts:2:two foo(1)\nsrc/b.md:1:Foo',
    );
    expect(await grep({ pattern: 'foo', path: 'src/a.ts' })).toBe('src/a.ts:2:two foo(1)');
    expect(await grep({ pattern: 'foo', path: 'dist' })).toBe('dist/out.ts:1:foo');
    expect(await grep({ pattern: 'nothing here' })).toBe('(no match)');
  });

  it('shows context, files, and only what fits a pattern of files', async () => {
    expect(await grep({ pattern: 'foo', glob: '*.ts', context: 1 })).toBe(
      'src/a.ts-1-one\nsrc/a.ts:2:two foo(1)\nsrc/a.ts-3-three',
    );
    expect(await grep({ pattern: 'foo', files_only: true })).toBe('.hidden\nsrc/a.ts');
    expect(await grep({ pattern: 'foo', files_only: true, glob: 'src/**' })).toBe('src/a.ts');
    expect(await grep({ pattern: 'foo', glob: '**' })).not.toContain('dist');
    await put('src/c.ts', 'foo\n-\n-\n-\nfoo\n');
    expect(await grep({ pattern: '^(foo|one)', path: 'src', context: 1 })).toBe(
      'src/a.ts:1:one\nsrc/a.ts-2-two foo(1)\n--\nsrc/c.ts:1:foo\nsrc/c.ts-2--\n--\nsrc/c.ts-4--\nsrc/c.ts:5:foo',
    );
  });

  it('takes a pattern that begins with `-` as a pattern', async () => {
    await put('opts', '--files\n-v x\n');
    expect(await grep({ pattern: '--files' })).toBe('opts:1:--files');
    expect(await grep({ pattern: '-v' })).toBe('opts:2:-v x');
    await put('-dash', 'foo\n');
    expect(await grep({ pattern: 'foo', path: '-dash' })).toBe('-dash:1:foo');
  });

  it('says what is wrong with a regular expression', async () => {
    const outcome = await call('grep', { pattern: 'foo(' });
    expect(outcome.isError).toBe(true);
    expect(outcome.text).toContain('Error: SearchError: ');
    expect(outcome.text).toContain('unclosed group');
  });

  it('leaves out binary files and does not wait for a pipe', async () => {
    await put('binary', 'x\0foo\n');
    execFileSync('mkfifo', [path('pipe')]);
    await mkdir(path('sub'));
    await symlink('/etc/hostname', path('sub/out'));
    expect(await grep({ pattern: 'foo' })).toBe('.hidden:1:foo\nsrc/a.ts:2:two foo(1)');
    expect(await grep({ pattern: '.', path: 'sub' })).toBe('(no match)');
    expect(await grep({ pattern: 'x', path: 'pipe' })).toContain(
      "'pipe' is neither a directory nor a regular file",
    );
  });

  it('cuts long lines and many lines', async () => {
    await put('long', `foo${'x'.repeat(5_000)}\n`);
    const line = await grep({ pattern: 'foo', path: 'long' });
    expect(line.length).toBeLessThan(600);
    expect(line).toContain('[... ');
    await put('many', 'bar\n'.repeat(MAX_RESULT_LINES));
    expect((await grep({ pattern: 'bar' })).split('\n')).toHaveLength(MAX_RESULT_LINES);
    await put('many', 'bar\n'.repeat(MAX_RESULT_LINES + 1));
    const lines = (await grep({ pattern: 'bar' })).split('\n');
    expect(lines).toHaveLength(MAX_RESULT_LINES + 1);
    expect(lines.at(-1)).toBe(`(cut at ${MAX_RESULT_LINES} lines: use a narrower pattern, path or glob)`);
  });

  it('stops on an abort', async () => {
    const outcome = await call('grep', { pattern: 'x' }, { signal: AbortSignal.abort() });
    expect(outcome).toEqual({
      text: 'Error: SearchError: the search was stopped before it ended.',
      isError: true,
    });
  });
});
