/** What a chat shows, as far as it is data: the reducer, what a line means, the history, what is offered. */
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TUI } from '@earendil-works/pi-tui';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import type { Entry, Event } from '../../src/api/wire.ts';
import { createCompletion, fileItems, filesOf, MAX_OFFERED } from '../../src/cli/chat/completion.ts';
import { find, findOlder, History, MAX_HISTORY, MAX_REMEMBERED } from '../../src/cli/chat/history.ts';
import { meaningOf } from '../../src/cli/chat/input.ts';
import { type Action, reduce } from '../../src/cli/chat/reduce.ts';
import { MessageEditor } from '../../src/cli/chat/screen/editor.ts';
import { attachedTo, filesNamedIn } from '../../src/cli/chat/sent-files.ts';
import { type ChatState, MAX_ITEMS, MAX_OUTPUT, NOTHING, taskInHand } from '../../src/cli/chat/state.ts';
import { UNICODE } from '../../src/cli/look.ts';
import { createStyle } from '../../src/cli/terminal.ts';
import { createTheme } from '../../src/cli/themes.ts';
import type { Frame } from '../../src/client/client.ts';
import { ATTACHMENT_LIMITS } from '../../src/core/attachments.ts';
import {
  AT,
  anApproval,
  aSession,
  assistant,
  aTask,
  doneTask,
  event,
  SESSION_ID,
  TASK_ID,
  toolResult,
} from './scripted-api.ts';

let home: string;
beforeAll(() => {
  home = mkdtempSync(join(tmpdir(), 'capybara-chat-'));
});
afterAll(() => rmSync(home, { recursive: true, force: true }));

const shown: Action = { do: 'show', session: aSession() };
const stateAfter = (...actions: Action[]): ChatState => [shown, ...actions].reduce(reduce, NOTHING);
const said = (position: number, text: string, by?: string): Entry => ({
  ...{ position, kind: 'user', taskId: TASK_ID, turn: null, parts: [{ type: 'text', text }], at: AT },
  ...(by !== undefined && { by }),
});
const entries = (...each: Entry[]): Action => ({ do: 'entries', entries: each });
const heard = (each: Event): Action => ({ do: 'event', event: each });
const piece = (attemptId: string, offset: number, text: string, channel: 'text' | 'reasoning' = 'text') => {
  const live: Extract<Frame, { kind: 'live' }>['live'] = {
    ...{ type: 'message.delta', sessionId: SESSION_ID, taskId: TASK_ID, turn: 1 },
    data: { attemptId, channel, offset, text },
  };
  return { do: 'live', live } as const;
};
const output = (callId: string, text: string): Action => ({
  do: 'live',
  live: { type: 'tool.output', sessionId: SESSION_ID, data: { callId, text } },
});

describe('the log', () => {
  test('is shown as what people said, what was answered, and the calls with their results', () => {
    const { items, last } = stateAfter(
      entries(
        said(1, 'mend it', 'Ana'),
        assistant(2, 'I look.', [['c1', 'bash', '{"command":"ls"}']]),
        toolResult(3, 'c1', 'exit 1'),
      ),
    );
    expect(last).toBe(3);
    expect(items).toMatchObject([
      { kind: 'said', text: 'mend it', by: 'Ana' },
      { kind: 'answer', text: 'I look.' },
      { kind: 'call', callId: 'c1', name: 'bash', status: 'failed', result: 'exit 1' },
    ]);
  });

  test('an entry that is read twice is shown once', () => {
    const twice = stateAfter(entries(said(1, 'one')), entries(said(1, 'one'), said(2, 'two')));
    expect(twice.items).toHaveLength(2);
  });

  test('a result belongs to the newest call of its name', () => {
    const calls = stateAfter(
      entries(assistant(1, '', [['call_0', 'bash', '{}']]), toolResult(2, 'call_0', 'first')),
      entries(assistant(3, '', [['call_0', 'bash', '{}']]), toolResult(4, 'call_0', 'second')),
    ).items;
    expect(calls).toMatchObject([{ result: 'first' }, { result: 'second' }]);
  });

  test('that grew long keeps what is newest, and counts the rest', () => {
    const note: Action = { do: 'note', text: 'x', tone: 'quiet' };
    const full = stateAfter(...Array.from({ length: MAX_ITEMS }, () => note));
    expect([full.items.length, full.dropped]).toEqual([MAX_ITEMS, 0]);
    const more = reduce(full, note);
    expect([more.items.length, more.dropped]).toEqual([MAX_ITEMS, 1]);
  });

  test('says where the context was emptied', () => {
    const revert: Entry = {
      ...{ position: 1, kind: 'revert', taskId: null, turn: null, parts: [], to: 0, at: AT },
    };
    expect(stateAfter(entries(revert)).items).toMatchObject([
      { text: 'the model sees nothing of what stands above: its context begins here' },
    ]);
  });
});

describe('an answer that is being written', () => {
  test('is joined from pieces that may be doubled, late or missing', () => {
    expect(stateAfter(piece('a', 0, 'Hel'), piece('a', 2, 'llo'), piece('a', 1, 'el')).live?.text).toBe(
      'Hello',
    );
    expect(stateAfter(piece('a', 0, 'He'), piece('a', 5, 'lost')).live?.text).toBe('He');
    expect(stateAfter(piece('a', 0, 'hm', 'reasoning'), piece('a', 0, 'So')).live).toEqual({
      ...{ attemptId: 'a', text: 'So', reasoning: 'hm' },
    });
  });

  test('that is read whole before its pieces come is not shown twice', () => {
    expect(stateAfter(entries(assistant(1, 'I look.')), piece('a', 0, 'I look.')).live).toBeUndefined();
  });

  test('gives way to the whole one, and what is late of it is not taken', () => {
    const whole = stateAfter(piece('a', 0, 'I lo'), entries(assistant(1, 'I look.')), piece('a', 4, 'ok.'));
    expect(whole.live).toBeUndefined();
    expect(whole.items).toMatchObject([{ kind: 'answer', text: 'I look.' }]);
  });

  test('begins again with another attempt, and says so once there was text', () => {
    const again = stateAfter(piece('a', 0, 'Old'), piece('b', 0, 'New'), piece('a', 3, 'er'));
    expect(again.live?.text).toBe('New');
    expect(again.items).toMatchObject([{ text: 'the answer was cut off; it begins again' }]);
    expect(stateAfter(piece('a', 0, 'hm', 'reasoning'), piece('b', 0, 'New')).items).toEqual([]);
  });

  test('of another session is not shown', () => {
    const { live } = piece('a', 0, 'theirs');
    expect(
      stateAfter({ do: 'live', live: { ...live, sessionId: `ses_${'9'.repeat(32)}` } }).live,
    ).toBeUndefined();
  });

  test('that never became whole stays to be read', () => {
    const { items, live } = stateAfter(
      { do: 'task', task: aTask(), isNew: false },
      piece('a', 0, 'I was about to'),
      { do: 'task', task: aTask({ status: 'cancelled' }), isNew: true },
    );
    expect(live).toBeUndefined();
    expect(items).toMatchObject([{ kind: 'answer', text: 'I was about to' }, { kind: 'ended' }]);
  });
});

test('the live output of a call is kept to its newest', () => {
  const call = entries(assistant(1, '', [['c1', 'bash', '{}']]));
  expect(stateAfter(call, output('c1', 'a\n'), output('c1', 'b\n')).items).toMatchObject([
    { output: 'a\nb\n' },
  ]);
  const long = stateAfter(call, output('c1', 'x'.repeat(MAX_OUTPUT)), output('c1', 'end')).items[0];
  expect(long).toMatchObject({ output: `${'x'.repeat(MAX_OUTPUT - 3)}end` });
});

describe('a task', () => {
  test('is told once when it ends, and not where it had ended before', () => {
    const running = { do: 'task', task: aTask(), isNew: false } as const;
    const done = { do: 'task', task: doneTask(), isNew: true } as const;
    expect(stateAfter(running, done, done).items).toMatchObject([{ kind: 'ended' }]);
    expect(stateAfter({ ...done, isNew: false }).items).toEqual([]);
  });

  test('that has ended stays so, whatever late answer says that it has just begun', () => {
    const queued = { do: 'task', task: aTask({ status: 'queued' }), isNew: true } as const;
    const state = stateAfter(queued, { do: 'task', task: doneTask(), isNew: true }, queued);
    expect([taskInHand(state), state.items]).toEqual([
      undefined,
      [expect.objectContaining({ kind: 'ended' })],
    ]);
  });

  test('ends before what was said to the next one', () => {
    const next = { ...said(2, 'then this'), taskId: `task_${'3'.repeat(32)}` };
    const { items } = stateAfter(
      { do: 'task', task: aTask(), isNew: false },
      entries(said(1, 'first'), next),
      { do: 'task', task: doneTask(), isNew: true },
    );
    expect(items).toMatchObject([{ text: 'first' }, { kind: 'ended' }, { text: 'then this' }]);
  });

  test('that failed before the log was read has its end there, where what it was given is shown', () => {
    const failed = [doneTask({ status: 'failed' }), doneTask({ id: `task_${'0'.repeat(32)}` })];
    const next = { ...said(2, 'again'), taskId: `task_${'3'.repeat(32)}` };
    const read = [entries(said(1, 'first'), next), { do: 'failed', tasks: failed }] as const;
    expect(stateAfter(...read, ...read.slice(1)).items).toMatchObject([
      ...[{ text: 'first' }, { kind: 'ended' }, { text: 'again' }],
    ]);
  });

  test('that is stopped before it has read what it was told says so', () => {
    const { items, sent } = stateAfter(
      { do: 'task', task: aTask(), isNew: false },
      { do: 'sent', sent: { key: 'k', text: 'and this', when: 'now' } },
      { do: 'task', task: aTask({ status: 'cancelled' }), isNew: true },
    );
    expect(sent).toEqual([]);
    expect(items).toMatchObject([{}, { text: 'was not read before the task ended: and this' }]);
  });

  test('in hand is the oldest that is not finished', () => {
    const later = aTask({ id: `task_${'3'.repeat(32)}`, status: 'queued' });
    const state = stateAfter(
      { do: 'task', task: later, isNew: true },
      { do: 'task', task: aTask(), isNew: true },
    );
    expect(taskInHand(state)?.id).toBe(TASK_ID);
    expect(taskInHand(reduce(state, { do: 'task', task: doneTask(), isNew: true }))?.id).toBe(later.id);
  });

  test('follows its events', () => {
    const running = { do: 'task', task: aTask({ status: 'queued' }), isNew: false } as const;
    const state = stateAfter(running, heard(event(1, 'task.started')));
    expect(taskInHand(state)).toMatchObject({ status: 'running' });
    const waiting = reduce(state, heard(event(2, 'task.waiting', { on: 'approval' })));
    expect(taskInHand(waiting)).toMatchObject({ status: 'waiting', waitingOn: 'approval' });
    const paused = reduce(waiting, heard(event(3, 'task.paused')));
    expect(taskInHand(reduce(paused, heard(event(4, 'task.resumed'))))).toMatchObject({ status: 'waiting' });
  });
});

describe('a question', () => {
  const asked: Action = { do: 'asked', open: [anApproval()] };
  test('is shown once, and seen answered by whoever did', () => {
    const open = stateAfter(asked, asked);
    expect(open.items).toHaveLength(1);
    const { id: approvalId } = anApproval();
    const answered = reduce(open, heard(event(5, 'approval.resolved', { approvalId, decision: 'denied' })));
    expect(answered.asked).toEqual([]);
    expect(answered.items).toMatchObject([{ kind: 'asked', approval: { status: 'denied' } }]);
  });
});

test('what was sent waits until it stands in the log', () => {
  const sent: Action = { do: 'sent', sent: { key: 'k', text: 'go on', when: 'now' } };
  expect(stateAfter(sent).sent).toHaveLength(1);
  expect(stateAfter(sent, entries(said(1, 'something else'))).sent).toHaveLength(1);
  expect(stateAfter(sent, entries(said(1, 'go on'))).sent).toEqual([]);
  expect(stateAfter(sent, { do: 'unsent', key: 'k' }).sent).toEqual([]);
});

test('a connection that was lost and found is told once each', () => {
  const { items, isLost } = stateAfter(
    { do: 'found' },
    { do: 'lost', reason: 'closed' },
    { do: 'found' },
    { do: 'found' },
  );
  expect(isLost).toBe(false);
  expect(items).toMatchObject([
    { text: 'connection lost (closed), trying again' },
    { text: 'connected again' },
  ]);
});

test('calls are opened one by one, or all', () => {
  const one = stateAfter({ do: 'open', callId: 'c' });
  expect([...one.opened]).toEqual(['c']);
  expect(reduce(one, { do: 'open', callId: 'c' }).opened.size).toBe(0);
  expect(reduce(one, { do: 'open' })).toMatchObject({ isOpen: true });
});

describe('a line means', () => {
  const nobody = { asked: undefined, isAnswer: true, commands: ['model', 'queue'] };
  const asked = { asked: anApproval(), isAnswer: true };
  test.each([
    ['  ', { kind: 'nothing' }],
    ['exit', { kind: 'leave' }],
    ['QUIT ', { kind: 'leave' }],
    ['/model', { kind: 'command', name: 'model', args: '' }],
    ['/Queue  mend it\nthen test', { kind: 'command', name: 'queue', args: 'mend it\nthen test' }],
    ['/model/foo bar', { kind: 'command', name: 'model/foo', args: '' }],
    ['/etc/hosts is wrong', { kind: 'message', text: '/etc/hosts is wrong' }],
    ['y', { kind: 'message', text: 'y' }],
    ['exit the loop early', { kind: 'message', text: 'exit the loop early' }],
  ])('%j', (line, meaning) => expect(meaningOf(line, nobody)).toEqual(meaning));

  test.each([
    ['y', { decision: 'allow' }],
    ['always', { decision: 'allow_always' }],
    ['n', { decision: 'deny' }],
    ['no, use make clean', { decision: 'deny', message: 'use make clean' }],
  ])('%j an answer, where a question stands', (line, answer) =>
    expect(meaningOf(line, asked)).toMatchObject({ kind: 'answer', answer }),
  );

  test('no answer where it was begun before the question came up, or says something else', () => {
    expect(meaningOf('y', { ...asked, isAnswer: false })).toEqual({ kind: 'message', text: 'y' });
    expect(meaningOf('yes, but later', asked)).toEqual({ kind: 'message', text: 'yes, but later' });
  });
});

describe('the history', () => {
  test('is a file of its owner’s alone, and keeps lines as they were typed', () => {
    const file = join(home, 'state', 'capybara', 'history');
    const history = new History(file);
    for (const text of ['one', 'two\nlines', 'two\nlines', ' ']) history.add(text);
    expect(new History(file).entries).toEqual(['one', 'two\nlines']);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(statSync(join(home, 'state', 'capybara')).mode & 0o777).toBe(0o700);
  });

  test('keeps the newest, and nothing that is too long', () => {
    const file = join(home, 'long');
    const lines = Array.from({ length: MAX_HISTORY + 2 }, (_, index) => `${JSON.stringify(`m${index}`)}\n`);
    writeFileSync(file, `not json\n${lines.join('')}`);
    const history = new History(file);
    expect([history.entries.length, history.entries[0]]).toEqual([MAX_HISTORY, 'm2']);
    expect(readFileSync(file, 'utf8').split('\n')).toHaveLength(MAX_HISTORY + 1);
    history.add('x'.repeat(MAX_REMEMBERED + 1));
    expect(history.entries.at(-1)).toBe(`m${MAX_HISTORY + 1}`);
    history.add('x'.repeat(MAX_REMEMBERED));
    expect(history.entries.at(-1)).toHaveLength(MAX_REMEMBERED);
  });

  test('that cannot be written is remembered as long as it lives', () => {
    const file = join(home, 'file');
    writeFileSync(file, '');
    const history = new History(join(file, 'history'));
    history.add('one');
    expect(history.entries).toEqual(['one']);
    chmodSync(file, 0o600);
  });

  test('is searched from the newest back, each text once', () => {
    const typed = ['mend the Tests', 'other', 'run tests', 'run tests'];
    const found = find(typed, 'TEST');
    expect(found.at).toBe(3);
    expect(findOlder(typed, found).at).toBe(0);
    expect(findOlder(typed, findOlder(typed, found)).at).toBe(0);
    expect(find(typed, 'nothing').at).toBeUndefined();
    expect(find(typed, '').at).toBeUndefined();
  });
});

describe('what is offered', () => {
  const commands = [
    { name: 'model', summary: 'choose the model', usage: '[NAME]', run: async () => {} },
    {
      ...{ name: 'mode', summary: 'how permission is asked', usage: '', run: async () => {} },
      complete: async () => ['safe', 'plan', 'auto'].map((value) => ({ value, label: value })),
    },
  ];
  const completion = createCompletion({
    ...{ commands, context: undefined, files: async () => ['src/main.ts', 'with space.md', 'README.md'] },
  });
  const { signal } = new AbortController();
  const offered = async (...lines: string[]) => {
    const row = lines.length - 1;
    const found = await completion.getSuggestions(lines, row, (lines[row] ?? '').length, { signal });
    return found?.items.map(({ value }) => value);
  };

  test('commands at the beginning, by a part of their name', async () => {
    expect(await offered('/mode')).toEqual(['/mode', '/model']);
    expect(await offered('say /mo')).toBeUndefined();
    expect(await offered('first', '/mo')).toBeUndefined();
    expect(await offered('/nothing')).toBeUndefined();
  });

  test('their arguments', async () => expect(await offered('/mode pl')).toEqual(['plan']));

  test('files behind @, wherever it stands', async () => {
    expect(await offered('look at @main')).toEqual(['@src/main.ts']);
    expect(await offered('first', 'then @space')).toEqual(['@"with space.md"']);
    expect(await offered('mail me@read')).toBeUndefined();
    expect(
      fileItems(
        Array.from({ length: MAX_OFFERED + 1 }, (_, n) => `f${n}`),
        '',
      ),
    ).toHaveLength(MAX_OFFERED);
  });

  test('and is put in place of what was typed', () => {
    const apply = (line: string, value: string, prefix: string) =>
      completion.applyCompletion([line], 0, line.length, { value, label: '' }, prefix);
    expect(apply('see @ma', '@src/main.ts', '@ma')).toEqual({
      ...{ lines: ['see @src/main.ts '], cursorLine: 0, cursorCol: 17 },
    });
    expect(apply('/mo', '/model', '/mo').lines).toEqual(['/model ']);
  });

  test('is not taken where it was for other text than stands there when Enter comes', async () => {
    const tui = { requestRender: () => {}, terminal: { rows: 24, columns: 80 } } as unknown as TUI;
    const style = createStyle({ isTty: true, noColor: true, columns: () => 80 });
    const theme = createTheme('plain', false);
    const editor = new MessageEditor(tui, () => ({ theme, style, signs: UNICODE, highlight: undefined }));
    editor.setAutocompleteProvider(completion);
    const sent: string[] = [];
    editor.onSubmit = (line) => sent.push(line);
    const isOpen = () => vi.waitFor(() => expect(editor.isShowingAutocomplete()).toBe(true));
    const type = (keys: string) => {
      for (const key of keys) editor.handleInput(key);
    };
    type('/');
    await isOpen();
    type('\x15');
    expect(editor.isShowingAutocomplete()).toBe(false);
    type('/');
    await isOpen();
    type('mode plan\r');
    type('see @');
    await isOpen();
    type('src and go\r');
    expect(sent).toEqual(['/mode plan', 'see @src and go']);
  });

  test('what a directory holds, without what version control ignores', async () => {
    const directory = join(home, 'project');
    mkdirSync(join(directory, '.git'), { recursive: true });
    mkdirSync(join(directory, 'src'));
    for (const name of ['src/a.ts', 'left-out', '.hidden', 'moves\u001b[2J'])
      writeFileSync(join(directory, name), '');
    writeFileSync(join(directory, '.gitignore'), 'left-out\n');
    expect(await filesOf(directory)()).toEqual(['.gitignore', '.hidden', 'src/a.ts']);
    expect(await filesOf(join(home, 'nowhere'))()).toEqual([]);
  });
});

describe('files that go with a message', () => {
  const picture = () => join(home, 'shot 1.png');
  beforeAll(() => {
    writeFileSync(join(home, 'shot 1.png'), 'x');
    writeFileSync(join(home, 'b.pdf'), '%PDF-');
    writeFileSync(join(home, 'a.ts'), 'x');
  });

  test('are mentioned, or dropped: quoted, escaped or as an address', () => {
    const escaped = picture().replaceAll(' ', '\\ ');
    for (const text of [
      `@"shot 1.png"`,
      `'${picture()}'`,
      escaped,
      `see file://${escaped.replace('\\ ', '%20')}`,
    ])
      expect(filesNamedIn(text, home), text).toEqual([picture()]);
    expect(filesNamedIn(`see\n${picture()}\nthere`, home)).toEqual([picture()]);
    expect(filesNamedIn(`file://other.example${picture()} file://%zz/a.png`, home)).toEqual([]);
    expect(filesNamedIn(`@b.pdf, @"shot 1.png" and ${escaped}`, home)).toEqual([
      join(home, 'b.pdf'),
      picture(),
    ]);
  });

  test('are there, and nothing that the agent reads itself', () => {
    expect(filesNamedIn('@a.ts @gone.png /gone.png', home)).toEqual([]);
    expect(attachedTo('nothing here', home)).toEqual({});
    expect(attachedTo('@b.pdf', home)).toEqual({ attachments: [{ name: 'b.pdf', data: 'JVBERi0=' }] });
  });

  test('are no files that a link of the directory leads to, or that only bear the name', () => {
    const [repository, secret] = [join(home, 'repository'), join(home, 'id_rsa')];
    mkdirSync(repository);
    writeFileSync(secret, '-----BEGIN');
    symlinkSync(secret, join(repository, 'diagram.png'));
    symlinkSync(join(home, 'b.pdf'), join(repository, 'b.pdf'));
    writeFileSync(join(repository, 'own.pdf'), '%PDF-');
    symlinkSync('own.pdf', join(repository, 'near.pdf'));
    for (const [name, target] of [
      ['diagram.png', secret],
      ['b.pdf', join(home, 'b.pdf')],
    ] as const)
      for (const text of [`explain @${name}`, join(repository, name)])
        expect(() => attachedTo(text, repository)).toThrow(
          `${JSON.stringify(join(repository, name))} leads by a link to ${target}, outside of this directory: name that file itself`,
        );
    expect(attachedTo('@near.pdf', repository).attachments).toHaveLength(1);
    writeFileSync(join(repository, 'text.png'), '-----BEGIN');
    expect(() => attachedTo('@text.png', repository)).toThrow(
      `${JSON.stringify(join(repository, 'text.png'))} is named like an image or a PDF and begins like neither`,
    );
  });

  test('are not too many', () => {
    const names = Array.from({ length: ATTACHMENT_LIMITS.files + 1 }, (_, index) => `p${index}.png`);
    for (const name of names) writeFileSync(join(home, name), '%PDF-');
    const text = (count: number) =>
      names
        .slice(0, count)
        .map((name) => `@${name}`)
        .join(' ');
    expect(attachedTo(text(ATTACHMENT_LIMITS.files), home).attachments).toHaveLength(ATTACHMENT_LIMITS.files);
    expect(() => attachedTo(text(names.length), home)).toThrow(
      `A message names ${names.length} files, and at most ${ATTACHMENT_LIMITS.files} can be attached.`,
    );
  });
});
