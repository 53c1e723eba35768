import { describe, expect, test } from 'vitest';
import { MAX_MENTIONS, mentionsIn } from '../../src/core/mentions.ts';

const firsts = (text: string) => mentionsIn(text).map(([first]) => first?.path);
const paths = (text: string) => mentionsIn(text).map((readings) => readings.map(({ path }) => path));

describe('mentions', () => {
  test.each([
    ['look at @src/a.ts and @b.md', ['src/a.ts', 'b.md']],
    ['@a', ['a']],
    ['(@a/b)', ['a/b)']],
    ['`@a`, "@b" and [@c]', ['a', 'b', 'c]']],
    ['@"with spaces.md" and @./x', ['with spaces.md', './x']],
    ['@types/node', ['types/node']],
    ['über @straße/ä.md', ['straße/ä.md']],
    ['me@example.org a.b+c@x.y x_@y -@z /@q @@r', []],
    ['@ alone, @. and @... and @!', []],
    ['', []],
  ])('%s', (text, found) => {
    expect(firsts(text)).toEqual(found);
  });

  test('may end in marks that belong to the sentence', () => {
    expect(paths('See @a/b.ts).')).toEqual([['a/b.ts).', 'a/b.ts)', 'a/b.ts']]);
    expect(paths('What of @Makefile?')).toEqual([['Makefile?', 'Makefile']]);
  });

  test('may name lines', () => {
    expect(mentionsIn('@a:10')).toEqual([[{ path: 'a:10' }, { path: 'a', first: 10, last: 10 }]]);
    expect(mentionsIn('@a:10-20')).toEqual([[{ path: 'a:10-20' }, { path: 'a', first: 10, last: 20 }]]);
    expect(mentionsIn('@a#L3-L5')[0]?.[1]).toEqual({ path: 'a', first: 3, last: 5 });
    expect(mentionsIn('@a:20-10')[0]?.[1]).toEqual({ path: 'a', first: 20, last: 20 });
    expect(mentionsIn('@a:0')[0]?.[1]).toEqual({ path: 'a', first: 1, last: 1 });
    expect(mentionsIn('@a:10,')[0]?.at(-1)).toEqual({ path: 'a', first: 10, last: 10 });
    expect(mentionsIn('@"a b":3')).toEqual([[{ path: 'a b' }]]);
  });

  test('are as many as are allowed', () => {
    expect(mentionsIn('@a '.repeat(MAX_MENTIONS))).toHaveLength(MAX_MENTIONS);
    expect(mentionsIn('@a '.repeat(MAX_MENTIONS + 1))).toHaveLength(MAX_MENTIONS);
  });

  test('take no longer for a text that is made to be slow', () => {
    const began = performance.now();
    for (const piece of ['@', '@"', '@a', '@a:1', '@....', ' @a.)', '@a#L'])
      mentionsIn(piece.repeat(100_000));
    expect(performance.now() - began).toBeLessThan(5_000);
  });
});
