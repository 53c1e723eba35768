import { expect, test } from 'vitest';
import { problemText } from '../../src/cli/failure.ts';
import { ChildLines } from '../../src/cli/flow/child-lines.ts';
import { jsonText } from '../../src/cli/json-text.ts';
import { columnsOf, sentences, tell } from '../../src/cli/sentences.ts';
import { endingLines } from '../../src/cli/summary.ts';
import { fields } from '../../src/cli/table.ts';
import { takenBackText } from '../../src/cli/take-over.ts';
import { createStyle, processTerminal } from '../../src/cli/terminal.ts';
import { ToolLines } from '../../src/cli/tool-lines.ts';
import { aCount, aTask, doneTask, event } from './scripted-api.ts';

const SENTENCE = 'The profile of ses_0123456789abcdef is not there: see `capybara config show`.';

test('a sentence is broken between words, and hangs behind its beginning', () => {
  expect(sentences(SENTENCE, 30)).toBe(
    'The profile of\n  ses_0123456789abcdef is not\n  there: see `capybara config\n  show`.\n',
  );
  expect(sentences('  two  blanks\nand more', 9)).toBe('  two\n    blanks\nand more\n');
});

test('a word that is longer than a line stays whole, on one of its own', () => {
  expect(sentences('see https://host.example/a/long/path first', 12)).toBe(
    'see\n  https://host.example/a/long/path\n  first\n',
  );
});

test('in a pipe nothing is broken', () => {
  expect(sentences(SENTENCE, Number.POSITIVE_INFINITY)).toBe(`${SENTENCE}\n`);
  const said: string[] = [];
  tell({ err: (text) => said.push(text) }, SENTENCE);
  tell({ err: (text) => said.push(text), errColumns: 60 }, SENTENCE, (text) => `<${text}>`);
  expect(said).toEqual([
    `${SENTENCE}\n`,
    '<The profile of ses_0123456789abcdef is not there: see\n  `capybara config show`.>\n',
  ]);
});

test('what a server, a path or a name says cannot steer the terminal', () => {
  const hostile = 'It is \x1b]0;title\x07not\x1b[2J there\x9b31m.';
  expect(sentences(hostile, 80)).toBe('It is not there\ufffd31m.\n');
  const applied = { changed: 1, already: 0, merged: ['a\x1b[31mb'], conflicts: [] };
  expect(sentences(takenBackText(1, applied), 80)).toBe(
    'The session and its files are back at the end of turn 1.\nMerged with what you changed since: ab.\n',
  );
});

test('what is listed, ends a task or befalls a call cannot steer it either', () => {
  const [hostile, shown] = ['a\x1b[2Jb\x9b31m', 'ab\ufffd31m'];
  const style = createStyle({ isTty: false, noColor: true });
  expect(fields([['task', hostile]])).toBe(`task  ${shown}\n`);
  expect(endingLines(doneTask({ sessionId: hostile }), style, { canContinue: false })).toContain(
    `Next: capybara diff ${shown}\n`,
  );
  const calls = new ToolLines(style);
  calls.requested('c1', 'bash', '{}');
  expect(calls.completed('c1', { status: hostile, position: 1 })).toContain(`bash (${shown})\n`);
  const children = new ChildLines(style);
  children.lines(event(1, 'tool.requested', { callId: 'c1', name: 'bash' }), 'child');
  const data = { callId: 'c1', status: hostile };
  expect(children.lines(event(2, 'tool.completed', data), 'child')).toBe(`[child] ✗ bash (${shown})\n`);
});

test('JSON says the same, and steers nothing', () => {
  const value = { 'a\u009b': ['\x7f\u202e\u200f\u2028\u2066\u061c', 'ß 漢 🙂\n'] };
  const text = jsonText(value);
  expect(text.trimEnd()).toBe(String.raw`{"a\u009b":["\u007f\u202e\u200f\u2028\u2066\u061c","ß 漢 🙂\n"]}`);
  expect(JSON.parse(text)).toEqual(value);
  expect(problemText({ code: 'c\u009b', message: 'm', exitCode: 1 })).toContain(String.raw`"c\u009b"`);
});

test('on a terminal that has no size sentences are not broken', () => {
  expect(columnsOf({ isTTY: true, columns: 0 })).toBe(Number.POSITIVE_INFINITY);
  const [{ isTTY }, columns] = [process.stderr, Object.getOwnPropertyDescriptor(process.stderr, 'columns')];
  Object.assign(process.stderr, { isTTY: true, columns: 0 });
  try {
    expect(processTerminal({ noColor: true }).errColumns).toBe(Number.POSITIVE_INFINITY);
  } finally {
    Object.assign(process.stderr, { isTTY });
    if (columns) Object.defineProperty(process.stderr, 'columns', columns);
    else Reflect.deleteProperty(process.stderr, 'columns');
  }
});

test('the ending lines keep their words whole, in any colour', () => {
  const columns = 40;
  const style = createStyle({ isTty: true, noColor: false, columns: () => columns });
  const error = {
    code: 'model_failed',
    message: 'The provider answered with something that nobody expected',
  };
  const usage = { ...aTask().usage, byModel: [aCount({ model: 'openai/some-model' })] };
  const text = endingLines(aTask({ status: 'failed', error, usage }), style, { canContinue: false });
  // biome-ignore lint/suspicious/noControlCharactersInRegex: colours are made of them
  expect(text.replaceAll(/\x1b\[\d+m/g, '')).toMatchInlineSnapshot(`
    "✗ Failed after 0.0 s, 1 turn: The
      provider answered with something that
      nobody expected (model_failed)
      openai/some-model: 0 tokens in (0 %
        cached), 0 out, price unknown
    Next: capybara tasks show
      task_22222222222222222222222222222222
    "
  `);
});
