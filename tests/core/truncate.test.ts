import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MODEL_MAX_CHARS, MODEL_MAX_LINES, truncateForModel } from '../../src/core/truncate.ts';

const lines = (count: number) => Array.from({ length: count }, (_, i) => `line ${i}`).join('\n');

describe('truncateForModel', () => {
  it('leaves a text at both limits as it is', () => {
    const long = 'x'.repeat(MODEL_MAX_CHARS);
    expect(truncateForModel(long)).toEqual({ text: long, cut: false });
    const many = lines(MODEL_MAX_LINES);
    expect(truncateForModel(many)).toEqual({ text: many, cut: false });
    expect(truncateForModel(`${many}\n`).cut).toBe(false);
  });

  it('cuts one character over the limit, in the middle, and says what is gone', () => {
    const text = `${'a'.repeat(15_000)}b${'c'.repeat(15_000)}`;
    const result = truncateForModel(text);
    expect(result.cut).toBe(true);
    expect(result.text).toBe(
      `${'a'.repeat(15_000)}\n[cut here: 1 characters, 1 lines; the output has 30001 characters, 1 lines]\n${'c'.repeat(15_000)}`,
    );
  });

  it('cuts one line over the limit and keeps whole lines', () => {
    const result = truncateForModel('a\nb\nc\nd\ne\n', { maxLines: 4 });
    expect(result).toEqual({
      text: 'a\nb\n[cut here: 2 characters, 1 lines; the output has 10 characters, 5 lines]\nd\ne\n',
      cut: true,
    });
  });

  it('says how to read what it cut, from its first character on', () => {
    const howToRead = (offset: number) => `page ${offset}`;
    expect(truncateForModel('a\nb\nc\nd\ne\n', { maxLines: 4, howToRead }).text).toContain(
      ' 5 lines; page 4]\nd',
    );
    expect(truncateForModel('a', { howToRead })).toEqual({ text: 'a', cut: false });
  });

  it('applies the tighter limit on each side where both are passed', () => {
    const result = truncateForModel(`${'x'.repeat(50)}\n${lines(10)}`, { maxChars: 20, maxLines: 4 });
    expect(result.text.startsWith(`${'x'.repeat(10)}\n[cut here: `)).toBe(true);
    expect(result.text.endsWith(']\n8\nline 9')).toBe(false);
    expect(result.text.endsWith('line 9')).toBe(true);
  });

  it('never splits a surrogate pair', () => {
    const smiles = '😀'.repeat(20);
    for (const maxChars of [1, 2, 3, 5, 9, 10, 11]) {
      expect(truncateForModel(smiles, { maxChars }).text.isWellFormed()).toBe(true);
    }
  });

  it('keeps no more than the limits, whatever the text', () => {
    const parts = fc.array(fc.constantFrom('a', '\n', '😀', '\r\n', 'word '), { maxLength: 60 });
    fc.assert(
      fc.property(
        parts,
        fc.integer({ min: 1, max: 30 }),
        fc.integer({ min: 1, max: 10 }),
        (list, chars, most) => {
          const text = list.join('');
          const result = truncateForModel(text, { maxChars: chars, maxLines: most });
          if (!result.cut) return result.text === text;
          const kept = result.text.replace(/\n?\[cut here: [^\]]*\]\n/, '');
          return result.text.isWellFormed() && kept.length <= chars && kept.split('\n').length <= most + 1;
        },
      ),
    );
  });
});
