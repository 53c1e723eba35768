import { PassThrough } from 'node:stream';
import { expect, test, vi } from 'vitest';
import { askOn, isAttended, showsUnicode } from '../../src/cli/terminal.ts';

test('what was typed before a question was there is not its answer', async () => {
  const setRawMode = vi.fn();
  const input = Object.assign(new PassThrough(), { setRawMode });
  const output = new PassThrough();
  const shown: string[] = [];
  output.on('data', (chunk) => shown.push(String(chunk)));
  input.write('y\n');
  const answer = askOn({ input, output }, 'Allow this call? [y/n] ', new AbortController().signal);
  await vi.waitFor(() => expect(shown.join('')).toContain('Allow this call?'), 10_000);
  input.write('n\n');
  expect(await answer).toBe('n');
  expect(setRawMode.mock.calls).toEqual([[true], [false]]);
});

test.each<[Record<string, string>, boolean]>([
  [{}, true],
  [{ TERM: 'xterm-256color', LANG: 'de_DE.UTF-8' }, true],
  [{ LC_CTYPE: 'UTF-8' }, true],
  [{ LANG: 'C.utf8' }, true],
  [{ LANG: 'C' }, false],
  [{ LANG: 'en_US.UTF-8', LC_ALL: 'POSIX' }, false],
  [{ LANG: 'en_US.UTF-8', LC_CTYPE: 'de_DE.ISO-8859-1' }, false],
  [{ LANG: 'C', LC_ALL: 'en_US.UTF-8' }, true],
  [{ LANG: 'C.UTF-8', TERM: 'dumb' }, false],
  [{ LANG: 'C.UTF-8', TERM: 'linux' }, false],
])('whether %j shows more than ASCII: %j', (environment, is) => {
  expect(showsUnicode(environment)).toBe(is);
});

test.each([
  [undefined, true],
  ['', true],
  ['0', true],
  ['false', true],
  ['1', false],
  ['true', false],
])('whether a person is there where CI is %j: %j', (CI, is) => {
  expect(isAttended({ CI })).toBe(is);
});
