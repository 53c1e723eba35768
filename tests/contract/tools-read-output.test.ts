import { afterEach, describe, expect, it } from 'vitest';
import { newId } from '../../src/clock.ts';
import { toPublicId } from '../../src/core/id.ts';
import { truncateForModel } from '../../src/core/truncate.ts';
import { MAX_PAGE_CHARS } from '../../src/tools/read-output.ts';
import { storedOutputs, useProject } from './tools-harness.ts';

const { call } = useProject();

afterEach(() => storedOutputs.clear());

function store(text: string): string {
  const id = newId();
  storedOutputs.set(id, text);
  return toPublicId('output', id);
}

/** The text of all pages, put together. */
async function allPages(id: string, limit?: number): Promise<string> {
  let whole = '';
  for (;;) {
    const args = { id, offset: whole.length, ...(limit === undefined ? {} : { limit }) };
    const { text, isError } = await call('read_output', args);
    expect([isError, truncateForModel(text).cut]).toEqual([undefined, false]);
    const [note, from, to, next] = /\(characters (\d+) to (\d+) of out_\w+; (.*)\)$/.exec(text) ?? [];
    expect(Number(from)).toBe(whole.length);
    whole += text.slice(0, Number(to) - Number(from));
    expect(text).toBe(`${text.slice(0, Number(to) - Number(from))}${/\n$/.test(whole) ? '' : '\n'}${note}`);
    if (next === 'this is its end') return whole;
    expect(next).toBe(`go on with offset ${whole.length}`);
  }
}

describe('read_output', () => {
  it.each([
    ['one long line', 'x'.repeat(100_000)],
    ['many short lines', Array.from({ length: 10_000 }, (_, line) => `${line}\n`).join('')],
    ['characters of two code units', `a${'\u{1f642}'.repeat(50_000)}`],
    ['one page, to the character', 'x'.repeat(MAX_PAGE_CHARS)],
  ])('gives %s in pages that are shown whole', async (_, text) => {
    expect(await allPages(store(text))).toBe(text);
  });

  it('gives as much as is asked for', async () => {
    const id = store('0123456789');
    expect(await call('read_output', { id, offset: 3, limit: 4 })).toEqual({
      text: `3456\n(characters 3 to 7 of ${id}; go on with offset 7)`,
    });
    expect(await allPages(id, 3)).toBe('0123456789');
    expect(await allPages(store('\u{1f642}\u{1f642}'), 3)).toBe('\u{1f642}\u{1f642}');
  });

  it('says what is wrong with an id or a range', async () => {
    const id = store('0123456789');
    const said = async (args: Record<string, unknown>) => (await call('read_output', args)).text;
    for (const bad of [toPublicId('output', newId()), 'out_1', 'call_1', '', '../x']) {
      expect(await said({ id: bad })).toContain(`this session has no stored output '${bad}', expected an id`);
    }
    expect(await said({ id, offset: 10 })).toContain(`'${id}' ends before character 10`);
    expect(await said({ id, offset: -1 })).toContain('offset: Too small');
    expect(await said({ id, limit: 0 })).toContain('limit: Too small');
    expect(await said({ id, limit: MAX_PAGE_CHARS + 1 })).toContain('limit: Too big');
  });
});
