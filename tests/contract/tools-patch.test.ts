import { chmod, mkdir, readdir, stat } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { MAX_EDIT_LINES } from '../../src/tools/line-edit.ts';
import { MAX_EDIT_CHARS } from '../../src/tools/search-replace.ts';
import { useProject } from './tools-harness.ts';

const project = useProject();
const { put, call, text, bytes, path } = project;

const patch = (...lines: string[]) => ['*** Begin Patch', ...lines, '*** End Patch'].join('\n');
const apply = (...lines: string[]) => call('apply_patch', { input: patch(...lines) });
const update = (...lines: string[]) => apply('*** Update File: f', ...lines);

async function refused(outcome: Promise<{ text: string; isError?: boolean }>): Promise<string> {
  const { text: said, isError } = await outcome;
  expect([said, isError]).toEqual([said, true]);
  return said;
}

describe('apply_patch', () => {
  it('adds, updates, moves and deletes files in one go', async () => {
    await put('src/app.py', 'import os\n\ndef greet():\n    print("Hi")\n');
    await put('old.txt', 'x\n');
    const outcome = await apply(
      '*** Add File: docs/new.txt',
      '+Hello',
      '+',
      '+world',
      '*** Update File: src/app.py',
      '*** Move to: src/deep/main.py',
      '@@ def greet():',
      '-    print("Hi")',
      '+    print("Hello")',
      '+    return 1',
      '*** Delete File: old.txt',
    );
    expect(outcome).toEqual({
      text: 'Created docs/new.txt.\nMoved src/app.py to src/deep/main.py: at line 4.\nDeleted old.txt.',
    });
    expect(await text('docs/new.txt')).toBe('Hello\n\nworld\n');
    expect(await text('src/deep/main.py')).toBe(
      'import os\n\ndef greet():\n    print("Hello")\n    return 1\n',
    );
    expect(await readdir(path('.'), { recursive: true })).toEqual(
      expect.not.arrayContaining(['old.txt', 'src/app.py']),
    );
  });

  it('takes several hunks, with several changes each', async () => {
    await put('f', 'a\nb\nc\nd\ne\nf\ng\n');
    await update('@@', ' a', '-b', '+B', ' c', '+c2', ' d', '@@', '-f', ' g', '+h');
    expect(await text('f')).toBe('a\nB\nc\nc2\nd\ne\ng\nh\n');
  });

  it.each([
    ['a hunk without @@', ['-b', '+B']],
    ['an empty line without its space', ['@@', ' a', '', '-b', '+B'], 'a\n\nb\nc\n', 'a\n\nB\nc\n'],
    ['empty lines between the parts of a patch', ['', '@@', '-b', '+B', '', '']],
    ['line numbers in @@', ['@@ -1,3 +1,3 @@ function x() {', ' a', '-b', '+B']],
    ['a path with space behind it', ['@@', '-b', '+B', ''], 'a\nb\nc\n', 'a\nB\nc\n'],
    ['lines that end as on Windows', ['@@\r', ' a\r', '-b\r', '+B\r']],
  ])('takes %s', async (_, lines, before = 'a\nb\nc\n', after = 'a\nB\nc\n') => {
    await put('f', before);
    expect(await update(...lines)).toMatchObject({ text: expect.stringMatching(/^Edited f: at line \d\.$/) });
    expect(await text('f')).toBe(after);
  });

  it.each(['```\nPATCH\n```', "<<'EOF'\nPATCH\nEOF", 'apply_patch <<"EOF"\nPATCH\nEOF\n', '\n PATCH \n'])(
    'takes a patch wrapped as %j',
    async (wrapping) => {
      await put('f', 'a\n');
      const input = wrapping.replace('PATCH', patch('*** Update File: f', '-a', '+b'));
      expect(await call('apply_patch', { input })).toEqual({ text: 'Edited f: at line 1.' });
    },
  );

  it.each([
    ['hello', 1, "'hello', expected '*** Begin Patch'"],
    ['', 0, 'input: Too small'],
    ['*** Begin Patch\n*** End Patch', 2, "found '*** End Patch', expected '*** Add File: PATH'"],
    ['*** Begin Patch\n*** Update File: f\n', 3, 'found the end of the patch, expected a line that begins'],
    [
      '*** Begin Patch\n*** Update File: f\n-a\n+b',
      5,
      "found the end of the patch, expected ' ', '-' or '+'",
    ],
    ['*** Begin Patch\n*** Update File:\n-a\n*** End Patch', 2, "expected a path behind '*** Update File:'"],
    ['*** Begin Patch\n*** Rename File: f\n*** End Patch', 2, "found '*** Rename File: f', expected"],
    ['*** Begin Patch\n*** Add File: g\ntext\n*** End Patch', 3, "found 'text', expected '+' in front"],
    [
      '*** Begin Patch\n*** Update File: f\n@@\n a\n*** End Patch',
      5,
      "expected a line that begins with '-' or '+'",
    ],
    ['*** Begin Patch\n*** Update File: f\n@@\n-a\n*b\n*** End Patch', 5, "found '*b', expected ' ', '-'"],
    ['*** Begin Patch\n*** Delete File: f\n-a\n*** End Patch', 3, "found '-a', expected"],
    ['*** Begin Patch\n*** Delete File: f\n*** End Patch\nmore', 4, "found 'more', expected nothing behind"],
  ])('says where %j is no patch', async (input, line, says) => {
    await put('f', 'a\n');
    const said = await refused(call('apply_patch', { input }));
    expect(said).toContain(says);
    if (line > 0) expect(said).toContain(`Error: EditError: line ${line} of the patch: `);
    expect(await text('f')).toBe('a\n');
  });

  it('refuses what could land in two places, and says where', async () => {
    await put('f', 'x\na\ny\na\n');
    expect(await refused(update('-a', '+b'))).toBe(
      "Error: EditError: the hunk at line 3 of the patch fits in 'f' at lines 2, 4, expected one place; add unchanged lines around the change until it is the only one.",
    );
    await update(' y', '-a', '+b');
    expect(await text('f')).toBe('x\na\ny\nb\n');
  });

  it('takes the order of hunks into account: two alike for two places, and one behind another', async () => {
    await put('f', 'a\nx\na\n');
    await update('@@', '-a', '+b', '@@', '-a', '+c');
    expect(await text('f')).toBe('b\nx\nc\n');
    await put('f', 'a\nx\na\n');
    await update('@@', '-x', '+X', '@@', '-a', '+c');
    expect(await text('f')).toBe('a\nX\nc\n');
    await put('f', 'a\nx\na\na\n');
    expect(await refused(update('@@', '-x', '+X', '@@', '-a', '+c'))).toContain(
      'at lines 1, 3, 4, expected one',
    );
    await put('f', 'one\ntwo\n');
    await update('@@', '-two', '+2', '@@', '-one', '+1');
    expect(await text('f')).toBe('1\n2\n');
    expect(await refused(update('@@', '-1', '-2', '+x', '@@', ' 1', '-2', '+y'))).toContain(
      "change the same lines of 'f', at line 1",
    );
  });

  const classes =
    'class A(Base):\n    def f(self):\n        return 0\n\nclass B:\n    def f(self):\n        return 0\n';

  it('finds the place below the lines that @@ names', async () => {
    await put('f.py', classes);
    const one = (...lines: string[]) => apply('*** Update File: f.py', ...lines);
    expect(await refused(one('@@ def f(self):', '-        return 0', '+        return 1'))).toContain(
      'lines 3, 7',
    );
    await one('@@ class B:', '-        return 0', '+        return 1');
    await one('@@ class A', '@@ \t def f(self):', '-        return 0', '+        return 2');
    expect(await text('f.py')).toBe(classes.replace('return 0', 'return 2').replace('return 0', 'return 1'));
    expect(await refused(one('@@ class C', '-        return 2', '+x'))).toContain(
      "there is no line 'class C'",
    );
    expect(await refused(one('@@ class B:', '-        return 2', '+x'))).toContain(
      "its lines stand at line 3, but not below 'class B:'",
    );
  });

  it('takes an @@ line that the hunk itself begins with or changes, and braces on lines of their own', async () => {
    await put('f', 'void a()\n{\n  x;\n}\nvoid b()\n{\n  x;\n}\n');
    await update('@@ void a()', '-void a()', '+int a()', ' {');
    await update('@@ int a()', ' int a()', ' {', '-  x;', '+  y;');
    await update('@@ void b()', '-  x;', '+  z;');
    expect(await text('f')).toBe('int a()\n{\n  y;\n}\nvoid b()\n{\n  z;\n}\n');
  });

  it('takes *** End of File at its word', async () => {
    await put('f', 'a\nb\na\n');
    await update('@@', '-a', '+c', '*** End of File');
    expect(await text('f')).toBe('a\nb\nc\n');
    expect(await refused(update('@@', '-b', '+c', '*** End of File'))).toContain(
      "is marked as the end of 'f', but its lines stand at line 2 of 3",
    );
  });

  it('puts lines that stand for themselves at the end, and says so', async () => {
    await put('f', 'a\n');
    expect((await update('@@', '+b')).text).toBe(
      'Edited f: at line 2 (the hunk at line 3 of the patch was added at the end).',
    );
    expect(await text('f')).toBe('a\nb\n');
    expect(await refused(update('@@ a', '+b'))).toContain("its place in 'f' is not clear");
    await put('f', '');
    expect((await update('+x')).text).toBe('Edited f: at line 1.');
  });

  it('fits white space and typographic characters only where one place is like it, and says so', async () => {
    await put('f', 'if a:  \n    say(“x”)\nend\n');
    expect((await update(' if a:', '-    say("x")', '+    say("y")')).text).toContain(
      'fitted only line 1, where white space or typographic characters differ',
    );
    expect(await text('f')).toBe('if a:  \n    say("y")\nend\n');
    await put('f', 'a  \n\na\t\n');
    expect(await refused(update('-a', '+b'))).toContain(
      'stand at lines 1, 3: copy the one that is meant exactly',
    );
    await put('f', 'class X:\n    def f():\n        return 1\n');
    const shift = await update(' def f():', '-    return 1', '+    if x:', '+        return 2', '+');
    expect(shift.text).toContain('new lines were indented like them');
    expect(await text('f')).toBe('class X:\n    def f():\n        if x:\n            return 2\n\n');
    await put('f', '\tif x:\n\t\ty\n');
    expect(await refused(update(' if x:', '-  y', '+  z'))).toContain(
      'a text that differs in its white space stands at line 1: copy it exactly',
    );
  });

  it('helps where lines are not there', async () => {
    await put('f', 'one\ntwo\nthree\n');
    expect(await refused(update('-four', '+x'))).toContain("no line of the file is 'four'");
    expect(await refused(update(' one', '-2', '+x'))).toContain(
      "agrees with the file from line 1 on, up to line 2, expected '2', found 'two'",
    );
    expect(await refused(update('-2\ttwo', '+x'))).toContain('begin with numbers as read_file shows them');
    await put('f', '');
    expect(await refused(update('-a', '+x'))).toContain('the file is empty');
  });

  it.each([
    ['CRLF', 'a\r\nb\r\nc\r\n', 'a\r\nB\r\nBB\r\nc\r\n'],
    ['a byte order mark', '\ufeffa\nb\nc\n', '\ufeffa\nB\nBB\nc\n'],
    ['mixed line ends', 'a\r\nb\nc\r\n', 'a\r\nB\nBB\nc\r\n'],
    ['no newline at the end', 'a\nb\nc', 'a\nB\nBB\nc'],
  ])('keeps %s', async (_, before, after) => {
    await put('f', before);
    await update(' a', '-b', '+B', '+BB', ' c');
    expect(await text('f')).toBe(after);
  });

  it('keeps the end of a file that has no newline there, also where it is the last line that changes', async () => {
    await put('f', 'a\r\nb');
    await update('-b', '+c', '+d');
    expect(await text('f')).toBe('a\r\nc\r\nd');
    await update(' d', '+e');
    expect(await text('f')).toBe('a\r\nc\r\nd\r\ne');
    await update('-d', '-e');
    expect(await text('f')).toBe('a\r\nc');
    await update('-a', '-c');
    expect(await text('f')).toBe('');
  });

  it('sees its own earlier changes', async () => {
    await put('f', 'a\n');
    await apply('*** Update File: f', '-a', '+b', '*** Update File: f', '*** Move to: g', '-b', '+c');
    expect(await text('g')).toBe('c\n');
    await apply('*** Delete File: g', '*** Add File: g', '+new');
    expect(await text('g')).toBe('new\n');
    expect(await readdir(path('.'))).toEqual(['g']);
  });

  it('keeps the mode of what it changes and moves, and deletes what is no text', async () => {
    await put('run', 'a\n');
    await chmod(path('run'), 0o755);
    await put('image', Buffer.from([0, 255]));
    await apply('*** Update File: run', '*** Move to: bin/run', '*** Delete File: image');
    expect((await stat(path('bin/run'))).mode & 0o777).toBe(0o755);
    expect(await readdir(path('.'))).toEqual(['bin']);
  });

  it('changes nothing where one part cannot be done', async () => {
    await put('a', '1\n');
    await put('b', '2\n');
    await mkdir(path('dir'));
    await put('latin', Buffer.from([0xe9]));
    const good = ['*** Update File: a', '-1', '+one', '*** Add File: new/c', '+3'];
    const bad: [string[], string][] = [
      [['*** Update File: b', '-3', '+x'], "is not in 'b'"],
      [['*** Update File: gone', '-3', '+x'], "'gone' does not exist"],
      [['*** Delete File: gone'], "'gone' does not exist"],
      [['*** Delete File: dir'], "'dir' is a directory"],
      [['*** Add File: b', '+x'], "'b' exists already"],
      [['*** Add File: dir', '+x'], "'dir' is a directory"],
      [['*** Add File: b/below', '+x'], 'a part of its path is a file'],
      [['*** Update File: b', '*** Move to: a', '-2', '+x'], "'a' exists already"],
      [['*** Update File: latin', '-3', '+x'], 'not valid UTF-8'],
      [['*** Add File: ../out', '+x'], 'is outside the workspace'],
      [['*** Add File: /tmp/out', '+x'], 'is outside the workspace'],
      [['*** Update File: b', '*** Move to: /proc/self/x', '-2', '+x'], 'is outside the workspace'],
    ];
    for (const [lines, says] of bad) {
      expect(await refused(apply(...good, ...lines))).toContain(says);
      expect(await refused(apply(...lines, ...good))).toContain(says);
    }
    expect((await readdir(path('.'))).sort()).toEqual(['a', 'b', 'dir', 'latin']);
    expect(await text('a')).toBe('1\n');
    expect(await bytes('latin')).toEqual(Buffer.from([0xe9]));
  });

  it('takes a text up to its limit', async () => {
    const room = MAX_EDIT_CHARS - patch('*** Add File: f', '+').length;
    expect((await apply('*** Add File: f', `+${'x'.repeat(room)}`)).isError).toBeUndefined();
    expect(await refused(apply('*** Add File: g', `+${'x'.repeat(room + 1)}`))).toContain('input: Too big');
  });

  it('takes a file of as many lines as its limit, whatever they are', async () => {
    await put('f', '\n'.repeat(MAX_EDIT_LINES));
    expect(await refused(update(' ', ' ', '-', '+x', ' '))).toContain(`and ${MAX_EDIT_LINES - 13} more`);
    await put('f', `${'\n'.repeat(MAX_EDIT_LINES - 1)}x\n`);
    expect(await update('-x', '+y')).toEqual({ text: `Edited f: at line ${MAX_EDIT_LINES}.` });
    await put('f', '\n'.repeat(MAX_EDIT_LINES + 1));
    expect(await refused(update('-x', '+y'))).toContain(`has ${MAX_EDIT_LINES + 1} lines, more than the`);
  });

  it('takes no more than a moment for any text', async () => {
    const much = 400_000;
    const texts = [
      ...['*** Add File: ', '*** Move to: ', '@@ ', ' ', '+', '-', '*** '].map(
        (start) => `${start}${' '.repeat(much)}x`,
      ),
      ...['@@\n', '\n', ' @@', '@@ a\n', '+\n', ' \n', '```\n', '*** End of File\n'].map((line) =>
        line.repeat(much / 2),
      ),
    ];
    await put('f', 'a\n'.repeat(100_000));
    const began = performance.now();
    for (const each of texts) {
      await call('apply_patch', { input: each });
      await call('apply_patch', { input: patch('*** Update File: f', each, '-a', '+b') });
      await call('search_replace', { blocks: each });
    }
    expect(performance.now() - began).toBeLessThan(15_000);
  });
});
