/** What a model writes as markdown, while it writes it. */
import { stripVTControlCharacters } from 'node:util';
import { describe, expect, test } from 'vitest';
import { createLook } from '../../src/cli/look.ts';
import { blocksOf } from '../../src/cli/markdown/blocks.ts';
import { lazyHighlight } from '../../src/cli/markdown/highlight.ts';
import { MarkdownProse } from '../../src/cli/markdown/markdown-prose.ts';
import { createStyle } from '../../src/cli/terminal.ts';
import { widthOf } from '../../src/cli/text-width.ts';

const highlight = lazyHighlight();

function prose({ columns = 40, noColor = true, isUnicode = true } = {}): MarkdownProse {
  const style = createStyle({ isTty: true, noColor, isUnicode, columns: () => columns });
  return new MarkdownProse(createLook(style, 'terminal', highlight));
}

function whole(text: string, options?: Parameters<typeof prose>[0]): string {
  const written = prose(options);
  return written.add(text) + written.end();
}

const TEXT = `Some **bold** words
over two lines:

1. One
2. Two
   - nested

   still two
# Heading
Below it. [here](http://a.example)
\`\`\`ts
const a = "x"; // note

- no list
\`\`\`
- a
- b

| a | b |
|---|---|
| 1 | 漢字 |

> said
> so
`;

describe('blocks', () => {
  test('are all of the text, and end where nothing behind them belongs to them', () => {
    const blocks = blocksOf(TEXT);
    expect(blocks.map(({ text }) => text).join('')).toBe(TEXT);
    expect(blocks.map(({ kind, isApart }) => `${isApart ? '/' : ''}${kind}`)).toEqual([
      ...['text', '/item', 'item', '/heading', '/text', '/fence', '/item', 'item', '/text', '/text'],
    ]);
    expect(blocks.map(({ isWhole }) => isWhole)).toEqual([...Array(9).fill(true), false]);
  });

  test.each([
    ['a number in a paragraph is no list', 'In the year\n1984. It was\n', ['text']],
    ['a rule of hyphens may make a heading of a paragraph', 'Title\n---\n', ['text']],
    ['what is indented behind a blank line goes on', '- a\n\n  b\n\n      code\n', ['item']],
    ['a fence of four is not closed by three', '````\n```\n````\n', ['fence']],
    ['code with a backtick in its first line is none', '``` a`b\n\nc\n', ['text', 'text']],
    ['a hash without a blank is no heading', '#tag\n', ['text']],
  ])('%s', (_, text, kinds) => {
    expect(blocksOf(text).map(({ kind }) => kind)).toEqual(kinds);
  });
});

describe('markdown that is being written', () => {
  test('is the same in the end, however it came in pieces, and nothing printed is taken back', () => {
    const wanted = whole(TEXT);
    for (const size of [1, 2, 3, 7, 40]) {
      const written = prose();
      let printed = '';
      for (let at = 0; at < TEXT.length; at += size) {
        printed += written.add(TEXT.slice(at, at + size));
        written.lines();
        expect(wanted.startsWith(printed)).toBe(true);
      }
      expect(printed + written.end()).toBe(wanted);
    }
  });

  test('is laid out without colours, too', () => {
    expect(whole(TEXT).split('\n')).toEqual([
      ...['Some bold words', 'over two lines:', '', '1. One', '2. Two', '    - nested', '', '   still two'],
      ...['', 'Heading', '', 'Below it. here (http://a.example)', '', '```ts'],
      ...['  const a = "x"; // note', '', '  - no list', '```', '', '- a', '- b', ''],
      ...['┌───┬──────┐', '│ a │ b    │', '├───┼──────┤', '│ 1 │ 漢字 │', '└───┴──────┘', ''],
      ...['│ said', '│ so', ''],
    ]);
    const colored = whole(TEXT, { noColor: false });
    expect(colored).toContain('\u001b[35mconst\u001b[39m');
    expect(stripVTControlCharacters(colored)).toBe(whole(TEXT));
  });

  test('prints a block once it is whole, and shows what may still change', () => {
    const written = prose();
    expect(written.add('One **two')).toBe('');
    expect(written.lines()).toEqual(['One **two']);
    expect(written.add('**\n\nThree')).toBe('');
    expect(written.lines()).toEqual(['One two', '', 'Three']);
    expect(written.add(' four\n')).toBe('One two\n');
    expect(written.lines()).toEqual(['', 'Three four']);
    expect(written.end()).toBe('\nThree four\n');
    expect(written.lines()).toEqual([]);
  });

  test('prints code line by line, as wide as it began', () => {
    let columns = 40;
    const style = createStyle({ isTty: true, noColor: true, columns: () => columns });
    const written = new MarkdownProse(createLook(style, 'terminal', highlight));
    expect(written.add('```js\nconst a')).toBe('```js\n');
    expect(written.lines()).toEqual(['  const a']);
    expect(written.add(' = 1;\nlet')).toBe('  const a = 1;\n');
    columns = 10;
    expect(written.add(' b;\n')).toBe('  let b;\n');
    expect(written.add('```\n')).toBe('```\n');
  });

  test('draws long code in parts, of which none is lost or doubled', () => {
    const code = Array.from(
      { length: 150 },
      (_, index) => `function f${index}() {\n  return ${index};\n}\n\n`,
    );
    const text = `Here:\n\n\`\`\`\n${code.join('')}\`\`\`\n`;
    const written = prose();
    let printed = '';
    for (const line of text.split(/(?<=\n)/)) printed += written.add(line);
    expect((printed + written.end()).split('\n')).toEqual(whole(text).split('\n'));
  });

  test('begins with the next text anew after one that was cut off', () => {
    const written = prose();
    expect(written.add('```js\nconst a = 1;\nlet') + written.end()).toBe(
      '```js\n  const a = 1;\n  let\n```\n',
    );
    expect(written.add('Again.\n') + written.end()).toBe('Again.\n');
  });

  test('cannot drive the terminal, whatever it is cut into', () => {
    const evil = 'a\u001b[2Jb \u001b]0;title\u0007c\r\n\r\n`\u009b`\u202e\n\n```\n\u001b[H\r\nx\n```\n';
    for (const size of [1, 5, evil.length]) {
      const written = prose();
      let printed = '';
      for (let at = 0; at < evil.length; at += size) {
        printed += written.add(evil.slice(at, at + size));
        printed += written.lines().join('');
      }
      // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there
      expect(printed + written.end()).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/);
    }
    expect(whole(evil)).toBe('ab c\n\n\ufffd\ufffd\n\n```\n\n  x\n```\n');
  });

  test('hides nothing that markdown leaves out', () => {
    expect(whole('See [1] and [^n].\n\n[1]: http://a.example\n[^n]: a note\n')).toBe(
      'See [1] and [^n].\n\n[1]: http://a.example\n[^n]: a note\n',
    );
  });

  test('is drawn with ASCII where nothing else is sure to be seen', () => {
    expect(
      whole('| a |\n|---|\n| 1 |\n\n> b\n\n***\n', { columns: 10, isUnicode: false }).split('\n'),
    ).toEqual([...['+---+', '| a |', '+---+', '| 1 |', '+---+', '', '| b', '', '----------', '']]);
  });

  test('is never wider than the terminal', () => {
    const wide = `${'漢字🎉'.repeat(40)} ${'x'.repeat(100)}`;
    const text = `# ${wide}\n- ${wide}\n\n> ${wide}\n\n\`\`\`\n${wide}\n\`\`\`\n\n| ${wide} |\n|---|\n| ${wide} |\n`;
    for (const columns of [24, 61])
      for (const line of whole(text, { columns }).split('\n'))
        expect(widthOf(line)).toBeLessThanOrEqual(columns);
  });
});
