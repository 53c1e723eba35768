import { PassThrough } from 'node:stream';
import { afterEach, expect, test, vi } from 'vitest';
import { Keys } from '../../src/cli/keys.ts';

const setRawMode = vi.fn();
const input = Object.assign(new PassThrough(), { setRawMode });
let isForeground = true;
let pressed: string[] = [];
let keys: Keys;

function listen(): void {
  pressed = [];
  setRawMode.mockClear();
  keys = new Keys({
    input,
    press: (key) => pressed.push(key),
    leave: () => pressed.push('leave'),
    signal: (name) => pressed.push(name),
    isForeground: () => isForeground,
  });
}

const modes = () => setRawMode.mock.calls.map(([isRaw]) => isRaw);
/** One after the other, as a person presses keys. */
async function type(...pieces: string[]): Promise<void> {
  for (const piece of pieces) {
    input.write(piece);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

afterEach(() => {
  keys.end();
  input.read();
  isForeground = true;
});

test('a key is one character; arrows, pasted text and control characters are none', async () => {
  listen();
  await type('o', '\u001b[A', 'oo', '\r', 'ö', '\u0004');
  expect(pressed).toEqual(['o', 'ö']);
  keys.end();
  await type('o');
  expect(pressed).toEqual(['o', 'ö']);
  expect(modes()).toEqual([true, false]);
});

test('Ctrl-C is a signal wherever it comes, and to stop gives the terminal back until the job goes on', async () => {
  listen();
  await type('\u0003', 'ls\u0003', '\u001a');
  expect(pressed).toEqual(['SIGINT', 'SIGINT', 'leave', 'SIGTSTP']);
  expect(modes()).toEqual([true, false]);
  isForeground = false;
  process.emit('SIGCONT');
  expect(keys.isListening).toBe(false);
  isForeground = true;
  process.emit('SIGCONT');
  expect(modes()).toEqual([true, false, true]);
});

test('while a person is asked, what they type is the answer', async () => {
  listen();
  const ask = keys.around(async () => {
    expect(keys.isListening).toBe(false);
    await type('o');
    expect(input.read()?.toString()).toBe('o');
    return 'y';
  });
  expect(await ask('Sure? ', new AbortController().signal)).toBe('y');
  await type('o');
  expect(pressed).toEqual(['o']);
  await expect(
    keys.around(async () => Promise.reject(new Error('left')))('', AbortSignal.abort()),
  ).rejects.toThrow('left');
  expect(keys.isListening).toBe(true);
  keys.end();
  expect(modes().at(-1)).toBe(false);
});

test('a job in the background leaves the terminal alone', () => {
  isForeground = false;
  listen();
  keys.end();
  expect(modes()).toEqual([]);
});
