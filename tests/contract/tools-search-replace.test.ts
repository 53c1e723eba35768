import { readdir } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { MAX_EDIT_CHARS } from '../../src/tools/search-replace.ts';
import { useProject } from './tools-harness.ts';

const { put, call, text, path } = useProject();

const block = (search: string, replace: string) =>
  `<<<<<<< SEARCH\n${search}=======\n${replace}>>>>>>> REPLACE\n`;
const run = (blocks: string) => call('search_replace', { blocks });

async function refused(blocks: string): Promise<string> {
  const { text: said, isError } = await run(blocks);
  expect([said, isError]).toEqual([said, true]);
  return said;
}

describe('search_replace', () => {
  it('edits several files, and several places of one', async () => {
    await put('src/a.ts', 'one\ntwo\nthree\n');
    await put('b.md', 'x\n');
    const outcome = await run(
      `src/a.ts\n${block('one\n', '1\n')}${block('three\n', '3\nfour\n')}\nb.md\n${block('x\n', '')}`,
    );
    expect(outcome).toEqual({ text: 'Edited src/a.ts: at lines 1, 3.\nEdited b.md: at line 1.' });
    expect(await text('src/a.ts')).toBe('1\ntwo\n3\nfour\n');
    expect(await text('b.md')).toBe('');
  });

  it.each([
    ['a fence behind the path', 'f\n```ts\nBLOCK```\n'],
    ['a fence before the path', '```ts\nf\nBLOCK```\n'],
    ['a path in bold', '**f**\nBLOCK'],
    ['a path as code, with a colon', '`f`:\nBLOCK'],
    ['a heading', '### f\n\nBLOCK'],
    ['lines that end as on Windows', 'f\r\nBLOCK'.replaceAll('\n', '\r\n')],
    ['longer markers', 'f\n<<<<<<<<< SEARCH\na\n=========\nb\n>>>>>>>>> REPLACE'],
    ['white space behind markers', 'f\n<<<<<<< SEARCH \na\n======= \nb\n>>>>>>> REPLACE '],
  ])('takes %s', async (_, form) => {
    await put('f', 'a\n');
    expect(await run(form.replace('BLOCK', block('a\n', 'b\n')))).toEqual({ text: 'Edited f: at line 1.' });
    expect(await text('f')).toBe('b\n');
  });

  it('makes a new file of an empty SEARCH', async () => {
    expect(await run(`new/f\n${block('', 'a\nb\n')}`)).toEqual({ text: 'Created new/f.' });
    expect(await text('new/f')).toBe('a\nb\n');
    expect(await refused(`new/f\n${block('', 'x\n')}`)).toContain("SEARCH part is empty, but 'new/f' is not");
  });

  it('lets a block see what those before it changed', async () => {
    await put('f', 'a\n');
    await run(`f\n${block('a\n', 'b\n')}${block('b\n', 'c\n')}`);
    expect(await text('f')).toBe('c\n');
  });

  it('compares whole lines, in one place of the file', async () => {
    await put('f', 'foo\nfoobar\nx\nfoo\n');
    expect(await refused(`f\n${block('foo\n', 'y\n')}`)).toContain(
      "the block at line 2 fits in 'f' at lines 1, 4",
    );
    expect(await refused(`f\n${block('bar\n', 'y\n')}`)).toContain(
      "no line of the file is 'bar'. Whole lines",
    );
    await run(`f\n${block('x\nfoo\n', 'x\ny\n')}`);
    expect(await text('f')).toBe('foo\nfoobar\nx\ny\n');
  });

  it('keeps the bytes of lines that stand on both sides', async () => {
    await put('f', '\ufeffa\r\nb\nc\r\nd');
    await run(`f\n${block('a\nb\nc\n', 'a\nB\nc\n')}`);
    expect(await text('f')).toBe('\ufeffa\r\nB\nc\r\nd');
  });

  it('takes the markers of a conflict as text where its own are longer', async () => {
    const conflict = '<<<<<<< HEAD\na\n=======\nb\n>>>>>>> other\n';
    await put('f', `x\n${conflict}`);
    expect(await refused(`f\n${block(conflict, 'a\n')}`)).toContain(
      "line 8 of the blocks: found '=======', expected '>>>>>>> REPLACE' for the block of line 2 (where such a line",
    );
    await run(`f\n<<<<<<<<< SEARCH\n${conflict}=========\na\n>>>>>>>>> REPLACE\n`);
    expect(await text('f')).toBe('x\na\n');
  });

  it.each([
    [block('a\n', 'b\n'), 1, 'expected a line with the path'],
    ['f\n', 2, "expected '<<<<<<< SEARCH'"],
    ['f\ng\n', 2, "found 'g', expected '<<<<<<< SEARCH' behind the path in line 1"],
    ['f\n<<<<<<< SEARCH\na\n', 4, "found the end, expected '=======' for the block of line 2"],
    [
      'f\n<<<<<<< SEARCH\na\n=======\nb',
      6,
      "found the end, expected '>>>>>>> REPLACE' for the block of line 2",
    ],
    ['f\n<<<<<<< SEARCH\na\n>>>>>>> REPLACE\n', 4, "found '>>>>>>> REPLACE', expected '======='"],
    [`f\n<<<<<<< SEARCH\na\n${block('a\n', 'b\n')}`, 4, "found '<<<<<<< SEARCH', expected '======='"],
    [`f\n${block('a\n', 'b\n')}=======\n`, 7, "found '=======', expected a path or"],
    [`f\n${block('a\n', 'b\n')}g\n`, 8, "found the end, expected '<<<<<<< SEARCH'"],
  ])('says where %j is no block', async (blocks, line, says) => {
    await put('f', 'a\n');
    const said = await refused(blocks);
    expect(said).toContain(says);
    expect(said).toContain(`Error: EditError: line ${line} of the blocks: `);
    expect(await text('f')).toBe('a\n');
  });

  it('changes nothing where one block cannot be done', async () => {
    await put('a', '1\n');
    for (const bad of [
      `gone\n${block('x\n', 'y\n')}`,
      `a\n${block('x\n', 'y\n')}`,
      `../out\n${block('', 'y\n')}`,
      `a\n${block('one\n', 'one\n')}`,
    ]) {
      await refused(`a\n${block('1\n', 'one\n')}new\n${block('', 'x\n')}${bad}`);
    }
    expect(await text('a')).toBe('1\n');
    expect(await readdir(path('.'))).toEqual(['a']);
  });

  it('takes a text up to its limit', async () => {
    const room = MAX_EDIT_CHARS - `f\n${block('', '\n')}`.length;
    expect((await run(`f\n${block('', `${'x'.repeat(room)}\n`)}`)).isError).toBeUndefined();
    expect(await refused(`g\n${block('', `${'x'.repeat(room + 1)}\n`)}`)).toContain('blocks: Too big');
  });
});
