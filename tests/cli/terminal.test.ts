import { PassThrough } from 'node:stream';
import { expect, test, vi } from 'vitest';
import { askOn } from '../../src/cli/terminal.ts';

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
