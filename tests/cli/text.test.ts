import { realpathSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { MAX_PROMPT_BYTES } from '../../src/api/wire.ts';
import { callSummary, conflictSummary, failureSummary } from '../../src/cli/call-summary.ts';
import { sessionText, taskText } from '../../src/cli/details.ts';
import { EntryReader } from '../../src/cli/entry-reader.ts';
import { describeFailure, endedSentence } from '../../src/cli/failure.ts';
import { table } from '../../src/cli/table.ts';
import { parseLimits, readPrompt, readTask } from '../../src/cli/task-input.ts';
import { createStyle } from '../../src/cli/terminal.ts';
import { widthOf, wrapped } from '../../src/cli/text-width.ts';
import { neutralised, oneLine, unhidden } from '../../src/cli/untrusted-text.ts';
import { argumentLines } from '../../src/cli/whole-call.ts';
import { loadConfig } from '../../src/config.ts';
import { aSession, assistant, aTask, doneTask } from './scripted-api.ts';

test.each([
  ['plain\ttext\nß 漢 🙂', 'plain\ttext\nß 漢 🙂'],
  ['\x1b[31mred\x1b[0m \x1b[?25l\x1b[2K', 'red '],
  ['\x1b]52;c;aGk=\x07\x1b]8;;http://x\x1b\\link\x1bP1$r\x1b\\', 'link'],
  ['\x1bc\x1b(B\x1b7', ''],
  ['half \x1b', 'half ␛'],
  ['half \x1b]0;title', 'half 0;title'],
  ['50 %\r100 %\r\n', '50 %\n100 %\n'],
  ['\x07\x08\x7f\x9b31m', '␇␈␡\ufffd31m'],
  ['a\u202eb\u2066c\u200fd\u2028e', 'a\ufffdb\ufffdc\ufffdd\ufffde'],
])('%j is printed as %j', (text, safe) => {
  expect(neutralised(text)).toBe(safe);
});

test('a line is cut at its width, by whole characters', () => {
  expect(oneLine(' a\n\tb ', 3)).toBe('a b');
  expect(oneLine('abcd', 3)).toBe('ab…');
  expect(oneLine('🙂日本', 6)).toBe('🙂日本');
  expect(oneLine('🙂日本', 5)).toBe('🙂日…');
  expect(oneLine('🙂日本', 4)).toBe('🙂…');
  expect(oneLine('e\u0301e\u0301', 2)).toBe('e\u0301e\u0301');
});

test.each([
  ['{"timeout":5,"command":"npm test\\n"}', 'bash npm test'],
  ['{"first":"one","second":"two"}', 'bash one'],
  ['{"count":3}', 'bash 3'],
  ['{}', 'bash'],
  ['{"command":', 'bash {"command":'],
  ['[1]', 'bash 1'],
  [
    JSON.stringify({ input: '*** Begin Patch\n*** Add File: a b\n+x\n*** Update File: c\n*** End Patch' }),
    'bash a b, c',
  ],
  [JSON.stringify({ patch: 'diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n' }), 'bash x'],
  [JSON.stringify({ blocks: 'x.ts\n<<<<<<< SEARCH\na\n=======\nb\n>>>>>>> REPLACE' }), 'bash x.ts'],
  [`{"command":"${'x'.repeat(100)}"}`, `bash ${'x'.repeat(71)}…`],
])('a call with %s is summed up as %s', (json, summary) => {
  expect(callSummary('bash', json)).toBe(summary);
});

test.each([
  [[], 'todo 0 of 0 done'],
  [
    [
      { text: 'Look.', status: 'done' },
      { text: 'Mend.', status: 'pending' },
    ],
    'todo 1 of 2 done',
  ],
  [[{ text: 'Mend\x1b[2J\nit.', status: 'in_progress' }, null, 'x'], 'todo 0 of 3 done, now: Mend it.'],
  [[{ content: 'Mend it.', status: 'in_progress' }], 'todo 0 of 1 done'],
  ['none', 'todo'],
])('a list %j is summed up as how far it is: %s', (items, summary) => {
  expect(callSummary('todo', JSON.stringify({ items }))).toBe(summary);
  expect(callSummary('todo', '{"items": [')).toBe('todo');
});

test.each([
  ['{"command":"npm test","timeout":5}', '  command │ npm test\n  timeout │ 5\n'],
  [
    '{"path":"a","old_text":"x\\n","new_text":""}',
    '  path     │ a\n  old_text │ x\n           │\n  new_text │\n',
  ],
  [
    '{"command":"echo \\u001b]0;\\u0007 ; rm -rf ~ \\r\\u200b#"}',
    '  command │ echo ␛]0;␇ ; rm -rf ~ ␍\ufffd#\n',
  ],
  ['{"a":[1,{"b":null}]}', '  a │ [1,{"b":null}]\n'],
  ['{"a\\nb":1,"command":"ls"}', '  arguments │ {"a\\nb":1,"command":"ls"}\n'],
  ['{"command":', '  arguments │ {"command":\n'],
  ['[1]', '  arguments │ [1]\n'],
  ['', '  arguments │\n'],
])('who is asked sees of %s all there is', (json, lines) => {
  expect(argumentLines(json, { columns: Number.POSITIVE_INFINITY })).toBe(lines);
});

test('a long line is wrapped behind the margin, and told from a new one', () => {
  const json = JSON.stringify({ command: `${'x'.repeat(27)}yy\n日本z` });
  expect(argumentLines(json, { columns: 40 })).toBe(
    `  command │ ${'x'.repeat(27)}\n          ┆ yy\n          │ 日本z\n`,
  );
  expect(wrapped('日本🙂', 3)).toEqual(['日', '本', '🙂']);
  expect(wrapped('', 3)).toEqual(['']);
});

describe('who is asked', () => {
  const every = Array.from({ length: 0x110000 }, (_, code) => code)
    .filter((code) => code < 0xd800 || code > 0xdfff)
    .map((code) => String.fromCodePoint(code));

  test('is shown a sign for every character that nobody sees', () => {
    const unseen = /\p{Default_Ignorable_Code_Point}|\p{Cf}|\p{Co}|\p{Cn}|\p{Z}|[\u2800\u{13441}\u{1d159}]/u;
    const hidden = every.filter((character) => unseen.test(character) && character !== ' ');
    expect(hidden.filter((character) => unhidden(character) !== '\ufffd')).toEqual([]);
    expect(unhidden('a b\tc\nß 漢 🙂 ␛')).toBe('a b\tc\nß 漢 🙂 ␛');
  });

  test('is shown marks that a terminal would drop', () => {
    expect(unhidden('e\u0302\u0301\u0323')).toBe('e\u0302\u0301\u0323');
    expect(unhidden(`x${'\u0301'.repeat(5)}`)).toBe(`x${'\u0301'.repeat(3)}\ufffd\ufffd`);
  });

  test('is shown no text of the model in the first column', () => {
    const real = (line: string) => [...line].reduce((sum, each) => sum + (each <= '~' ? 1 : 2), 0);
    for (const filler of ['\u{17000}', '\u{1b170}', '\u{1b000}', '\u2329', 'я', '❤', '🙂', '漢', '\u00e9']) {
      const command = `rm -rf ~ #${filler.repeat(29)}  command │ npm test`;
      const lines = argumentLines(JSON.stringify({ command }), { columns: 80 }).trimEnd().split('\n');
      expect(Math.max(...lines.map(real))).toBeLessThanOrEqual(80);
      expect(lines.slice(1).every((line) => line.startsWith('          ┆ '))).toBe(true);
    }
  });

  test.each([
    `x${' '.repeat(77)}Allowed by policy. Press y to go on.`,
    'command │ npm test',
    'n'.repeat(25),
    '',
    'command\ufe01',
  ])('is shown an argument named %j behind the margin', (name) => {
    const lines = argumentLines(JSON.stringify({ [name]: 1, command: 'ls' }), { columns: 40 })
      .trimEnd()
      .split('\n');
    expect(lines.map((line) => line.slice(0, 13))).toEqual(
      lines.map((_, index) => (index === 0 ? '  arguments │' : '            ┆')),
    );
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(40);
  });

  test('is shown how many blank lines there are, not each', () => {
    const command = `ls\n\n\n\nls${'\n'.repeat(5001)}rm -rf ~ #${' '.repeat(270)}x`;
    expect(argumentLines(JSON.stringify({ command, b: 1 }), { columns: 40 })).toBe(
      `  command │ ls
          │
          │
          │
          │ ls
          │
          ⋮ 4999 more lines like this
          │ rm -rf ~ #
          ┆
          ⋮ 8 more lines like this
          ┆           x
  b       │ 1
`,
    );
  });

  test('is told of a long call how long it is, and how it began', () => {
    const command = (lines: number) =>
      JSON.stringify({
        a: 1,
        command: Array.from({ length: lines }, (_, index) => `line ${index}`).join('\n'),
      });
    const behindBlanks = JSON.stringify({ command: `${'\n'.repeat(9)}${'rm\nls\n'.repeat(20)}` });
    expect(argumentLines(behindBlanks, { columns: 80 })).toMatch(
      / {10}│\n {2}43 lines: scroll up to see them all. They begin:\n {2}command │ rm\n$/,
    );
    expect(argumentLines(command(19), { columns: 80 })).toMatch(/ {10}│ line 18\n$/);
    expect(argumentLines(command(20), { columns: 80 })).toMatch(
      / {10}│ line 19\n {2}21 lines: scroll up to see them all. They begin:\n {2}a {7}│ 1\n {2}command │ line 0\n$/,
    );
  });
});

test.each([
  ['漢\u{17000}\u{18b00}\u{1b170}\u{1aff0}\u2329\ufe10\u{1d300}', 16],
  ['❤\ufe0f🙂', 4],
  ['e\u0301\u200b', 1],
  ['é│я', 3],
])('%j takes %i columns', (text, columns) => {
  expect(widthOf(text)).toBe(columns);
});

test.each([
  ['Exit code: 2\nmore', 'exit 2'],
  ['command exited with code 127', 'exit 127'],
  ['\n\nError: X', 'X'],
  [
    "Error: FileError: 'a.ts' is not there: look with list_files.",
    "'a.ts' is not there: look with list_files.",
  ],
  [
    "Error: InvalidArguments: the arguments of 'grep' do not fit:\n- path: expected string (found 5)\n- x: y",
    'path: expected string (found 5)',
  ],
  ['Error: Odd: this:', 'this:'],
  ['make: *** [all] Error: 2', 'make: *** [all] Error: 2'],
  [
    'Child agent failed: It went wrong.\nCategory: tool_error\nBlocked on: bash: exit 1 (x)',
    'It went wrong.',
  ],
  ['', ''],
])('a failure %j is summed up as %j', (text, summary) => {
  expect(failureSummary(text)).toBe(summary);
});

const MERGED =
  'done\n\nIts changes to 4 files were merged.\nConflicts, which you have to settle (its own):\n';

test.each([
  ['done\n\nIt changed no files.', ''],
  [`${MERGED}- a.js (both)`, '1 conflict'],
  [`${MERGED}- a.js (both)\n- b.js (both)`, '2 conflicts'],
  [`${MERGED}- a.js (both)\n- b.js (both)\n- and 40 more`, '42 conflicts'],
  [`${MERGED}- a.js (both)\n\nThat is what a child said.`, ''],
])('of %j is left to settle: %j', (text, summary) => {
  expect(conflictSummary(text)).toBe(summary);
});

test('a table aligns its columns and trusts no cell', () => {
  expect(
    table(
      ['A', 'LONG'],
      [
        ['x\x1b[2Jyz', '1'],
        ['x', '🙂\nb'],
      ],
    ),
  ).toBe('A    LONG\nxyz  1\nx    🙂 b\n');
});

test('details of a task and of a session are told whole', () => {
  const failed = doneTask({
    status: 'failed',
    error: { code: 'c', message: 'It broke.' },
    usage: { ...doneTask().usage, toolCalls: 1 },
  });
  expect(taskText(failed)).toContain(
    'error    It broke (c)\nusage    tools: 1 of 1 call succeeded (100 %)\n\nAll done.\n',
  );
  const open = aTask({ status: 'waiting', waitingOn: 'retry', cancelRequested: true });
  expect(taskText(open)).toContain('status   waiting on retry, being cancelled\n');
  expect(taskText(aTask({ scheduleId: 'sch_1' }))).toContain('schedule  sch_1\n');
  const session = aSession({ parentId: 'ses_p', archivedAt: '2026-01-01T00:00:00Z' });
  expect(sessionText(session, [aTask()])).toContain(
    "workspace  a copy of its parent's files\ncreated    2026-01-02T03:04:05.000Z\nparent     ses_p\narchived   2026-01-01T00:00:00Z\n\nTASK",
  );
});

test('the list of an agent is told an item a line, and can do nothing to the terminal', () => {
  const todos = [
    { text: 'Look\x1b[2J at\u202e it.', status: 'done' },
    { text: 'Mend it.', status: 'in_progress' },
    { text: 'Prove it.', status: 'pending' },
    { text: 'Tell them.', status: 'cancelled' },
  ] as const;
  expect(sessionText(aSession({ todos: [...todos] }), [])).toContain(
    `created    2026-01-02T03:04:05.000Z
todo       [x] Look at\ufffd it.
todo       [ ] Mend it. (in progress)
todo       [ ] Prove it.
todo       [-] Tell them. (cancelled)

TASK`,
  );
});

test('styles are plain for pipes and for NO_COLOR', () => {
  expect(createStyle({ isTty: false, noColor: false }).red('x')).toBe('x');
  expect(createStyle({ isTty: true, noColor: true }).red('x')).toBe('x');
  expect(createStyle({ isTty: true, noColor: false }).red('x')).toBe('\x1b[31mx\x1b[39m');
});

describe('a failure that nobody foresaw', () => {
  test('that ended something is told by its last line', () => {
    expect(endedSentence('It ended: one; 2026-01-02 03:04:05.678 UTC [7] FATAL:  two')).toBe(
      'It ended (FATAL: two)',
    );
    expect(endedSentence('It ended: ')).toBe('It ended');
    expect(endedSentence('It ended')).toBe('It ended');
  });

  const up = { command: 'capybara up', takesText: false };

  test('is one sentence, and a port in use says what to do', () => {
    const inUse = Object.assign(new Error('listen EADDRINUSE'), { code: 'EADDRINUSE', port: 7070 });
    expect(describeFailure(inUse, up)).toEqual({
      code: 'port_in_use',
      message: 'The port 7070 is in use by another program: choose another with --port.',
      exitCode: 3,
    });
    expect(describeFailure(new Error('one\ntwo'), up)).toEqual({
      code: 'internal',
      message: 'one',
      exitCode: 1,
    });
    expect(describeFailure(new Error(''), up).message).toBe('Something unknown went wrong.');
  });
});

describe('the prompt', () => {
  const read = (argument: string, ...chunks: string[]) =>
    readPrompt(argument, Readable.from(chunks.map((chunk) => Buffer.from(chunk))));

  test('is the argument, or what stdin has for "-"', async () => {
    expect(await read('do it', 'not this')).toBe('do it');
    expect(await read('-', 'do ', 'it\n')).toBe('do it\n');
  });

  test('may not be empty', async () => {
    const message =
      'The prompt is empty: say in words what the agent should do, or "-" to read it from stdin.';
    await expect(read(' \n')).rejects.toMatchObject({ message, exitCode: 2 });
    await expect(read('-')).rejects.toMatchObject({ message });
  });

  test('may have one MiB and no more, from both', async () => {
    const longest = 'ä'.repeat(MAX_PROMPT_BYTES / 2);
    expect(await read(longest)).toBe(longest);
    expect(await read('-', longest)).toBe(longest);
    const message =
      'The prompt is longer than 1 MiB: put what is long into a file of the workspace and name it.';
    await expect(read(`${longest}a`)).rejects.toMatchObject({ message, exitCode: 2 });
    await expect(read('-', longest, 'a')).rejects.toMatchObject({ message, exitCode: 2 });
  });
});

describe('the task', () => {
  const flags = { mode: 'auto', continue: false };
  const { config } = loadConfig({ env: {}, trustWorkingDirectory: false });
  const server = { ...config, url: 'http://s' };

  test('works in the directory where Capybara runs here', () => {
    const { body } = readTask('p', { flags, config, cwd: process.cwd() });
    expect(body).toEqual({ prompt: 'p', mode: 'auto', workspace: { kind: 'local', path: process.cwd() } });
    expect(() => readTask('p', { flags: { ...flags, workspace: 'none' }, config, cwd: '/tmp' })).toThrow(
      '--workspace /tmp/none is not a directory: expected "empty", a directory or the URL of a repository.',
    );
  });

  test('does not continue an empty workspace', () => {
    const given = { ...flags, workspace: 'empty', continue: true };
    expect(() => readTask('p', { flags: given, config, cwd: '/tmp' })).toThrow(
      '--continue goes on with the last session of a directory, and --workspace empty names none: leave one of them out.',
    );
  });

  test('sends a directory to a server, and nothing where it is to begin empty', () => {
    const at = (workspace?: string) =>
      readTask('p', { flags: { ...flags, workspace }, config: server, cwd: tmpdir() });
    const sends = { directory: realpathSync(tmpdir()), url: 'http://s', dataDir: config.dataDir };
    expect(at()).toEqual({ body: { prompt: 'p', mode: 'auto' }, sends });
    expect(at('..').sends?.directory).toBe(realpathSync(join(tmpdir(), '..')));
    expect(at('empty')).toEqual({ body: { prompt: 'p', mode: 'auto', workspace: { kind: 'empty' } } });
    expect(() => at('none')).toThrow(
      '/none is not a directory: expected "empty", a directory or the URL of a repository.',
    );
  });

  test.each([
    ['https://host.example/team/app.git', { url: 'https://host.example/team/app.git' }],
    ['https://host.example/app#feature/one', { url: 'https://host.example/app', ref: 'feature/one' }],
    ['git+ssh://git@host.example/app#v1', { url: 'ssh://git@host.example/app', ref: 'v1' }],
    ['git@host.example:team/app', { url: 'ssh://git@host.example/team/app' }],
    ['file:///srv/git/app.git#HEAD', { url: 'file:///srv/git/app.git' }],
  ])('may begin with a repository: %s', (workspace, expected) => {
    const { body } = readTask('p', { flags: { ...flags, workspace }, config: server, cwd: '/tmp' });
    expect(body.workspace).toEqual({ kind: 'git', ...expected });
  });

  test('says what is wrong with a repository before it is sent', () => {
    const at = (workspace: string, more = {}) =>
      readTask('p', { flags: { ...flags, workspace, ...more }, config, cwd: '/tmp' });
    expect(() => at('https://ana:s3cret@host.example/app')).toThrow(
      'The repository host.example has a user name or a password in it, which would be stored with the session and shown: ' +
        'leave them out; an administrator sets keys with CAPYBARA_GIT_CREDENTIALS.',
    );
    expect(() => at('ext::sh -c x')).toThrow('is not a directory');
    expect(() => at('git://host.example/app')).toThrow(
      'The repository is "git://host.example/app", expected https://',
    );
    expect(() => at('https://host.example/app#-u')).toThrow('The ref is "-u", expected the name of a branch');
    expect(() => at('https://host.example/app#')).toThrow('The ref is "", expected');
    expect(() => at('https://host.example/app', { continue: true })).toThrow(
      '--continue goes on with the last session of a directory, and --workspace names a repository: leave one of them out.',
    );
  });

  test('carries what is set, and continues in place of a workspace', () => {
    const set = { ...server, model: 'a/b', temperature: 0, maxTokens: 5 };
    const given = {
      ...flags,
      agent: 'plan',
      limit: ['turns=5', 'seconds=60'],
      'no-tool': ['bash'],
      continue: true,
    };
    expect(readTask('p', { flags: given, config: set, cwd: '/tmp' })).toEqual({
      body: {
        prompt: 'p',
        agent: 'plan',
        model: 'a/b',
        mode: 'auto',
        temperature: 0,
        maxTokens: 5,
        withoutTools: ['bash'],
        limits: { turns: 5, seconds: 60 },
      },
      continues: realpathSync('/tmp'),
      sends: { directory: realpathSync('/tmp'), url: 'http://s', dataDir: config.dataDir },
    });
  });

  test.each([
    ['turns', 'is not a limit'],
    ['toast=5', 'is not a limit'],
    ['turns=-5', 'is not a limit'],
    ['turns=0', 'is out of range'],
    ['turns=100001', 'is out of range'],
  ])('is refused with --limit %s', (limit, message) => {
    expect(() => parseLimits([limit])).toThrow(message);
  });

  test('is refused with a limit that is given twice', () => {
    expect(() => parseLimits(['turns=5', 'usd=1', 'turns=6'])).toThrow(
      '--limit gives turns 2 times: give each limit once.',
    );
  });

  test('may have the highest limit', () => {
    expect(parseLimits(['turns=100000', 'usd=2.50'])).toEqual({ turns: 100_000, usd: '2.50' });
    expect(parseLimits(['usd=.5'])).toEqual({ usd: '0.5' });
    expect(() => parseLimits(['turns=1.5'])).toThrow('is not a limit');
    expect(() => parseLimits(['usd=0.0000001'])).toThrow('usd must be more than 0, to a millionth');
    expect(parseLimits([])).toBeUndefined();
  });
});

test('entries are read forward, page by page, the last page again as it grows', async () => {
  const asked: (string | number | undefined)[] = [];
  let length = 3;
  const reader = new EntryReader(async ({ cursor }) => {
    asked.push(cursor);
    const all = Array.from({ length }, (_, index) => assistant(index + 1, `${index + 1}`));
    return cursor === undefined
      ? { data: all.slice(0, 2), nextCursor: 'two' }
      : { data: all.slice(2), nextCursor: null };
  });
  expect((await reader.at(1))?.position).toBe(1);
  expect((await reader.at(3))?.position).toBe(3);
  expect(await reader.at(4)).toBeUndefined();
  length = 4;
  expect((await reader.at(4))?.position).toBe(4);
  expect((await reader.at(1))?.position).toBe(1);
  expect(asked).toEqual([undefined, 'two', 'two', 'two']);
});

test('entries far behind are let go', async () => {
  const all = Array.from({ length: 600 }, (_, index) => assistant(index + 1, ''));
  let loads = 0;
  const reader = new EntryReader(async () => {
    loads += 1;
    return { data: all, nextCursor: null };
  });
  await reader.at(600);
  expect((await reader.at(100))?.position).toBe(100);
  expect(loads).toBe(1);
  await reader.at(99);
  expect(loads).toBe(2);
});
